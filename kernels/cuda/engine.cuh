// How a block multiplies its panels: on the ordinary units (PRODUCTS = 0), or on tensor cores with one product of TF32
// for each product of float32, or with three. Everything before and after is the same.
//
//     TILE = 128: 8 warps, 2 x 4, of 64 x 32 numbers of y        TILE = 64: 4 warps, 2 x 2, of 32 x 32
//
//     COLUMNS = 8 of TILE = 64: 4 warps, 4 x 1, of 16 x 8, one instruction of a tensor core each. For a y of so few
//     columns, an image say: of a square tile it would throw most away.
//
//       +------------+------------+                      +---+
//       |            |            |                      | w |
//       |     w      |            |                      +---+
//       |            |            |                      |   |
//       +------------+------------+                      +---+
//       |            |            |                      |   |
//       |            |            |                      +---+
//       |            |            |                      |   |
//       +------------+------------+                      +---+
#pragma once
#include "mma_tile.cuh"
#include "pipeline.cuh"
#include "thread_tile.cuh"

constexpr int DEPTH = 16;

template <int TILE>
constexpr int THREADS = TILE * 2;

// How the warps of a block share its tile.
template <int TILE, int COLUMNS>
struct Warps {
  static constexpr int WIDTH = COLUMNS < 32 ? COLUMNS : 32, ACROSS = COLUMNS / WIDTH;
  static constexpr int DOWN = THREADS<TILE> / 32 / ACROSS, HEIGHT = TILE / DOWN;

  static __device__ __forceinline__ int row() { return threadIdx.x / 32 / ACROSS * HEIGHT; }
  static __device__ __forceinline__ int column() { return threadIdx.x / 32 % ACROSS * WIDTH; }
};

template <class A, class B, int TILE, int COLUMNS, int PRODUCTS>
struct Engine : MmaTile<A, B, Warps<TILE, COLUMNS>::HEIGHT, Warps<TILE, COLUMNS>::WIDTH, PRODUCTS> {
  using W = Warps<TILE, COLUMNS>;
  static constexpr int STAGES = 4;

  __device__ __forceinline__ Engine()
      : MmaTile<A, B, W::HEIGHT, W::WIDTH, PRODUCTS>(W::row(), W::column(), threadIdx.x % 32) {}
};

template <class A, class B, int TILE>
struct Engine<A, B, TILE, TILE, 0> : ThreadTile<A, B, 8, 4, TILE / 16, 8> {
  using W = Warps<TILE, TILE>;
  static constexpr int STAGES = 3;

  __device__ __forceinline__ Engine()
      : ThreadTile<A, B, 8, 4, TILE / 16, 8>(W::row(), W::column(), threadIdx.x % 32 / 4, threadIdx.x % 4) {}
};
