// How a block multiplies its panels: on the ordinary units (PRODUCTS = 0), or on tensor cores with one product of TF32
// for each product of float32, or with three. Everything before and after is the same.
//
//     TILE = 128: 8 warps, 2 x 4, of 64 x 32 numbers of y        TILE = 64: 4 warps, 2 x 2, of 32 x 32
#pragma once
#include "mma_tile.cuh"
#include "pipeline.cuh"
#include "thread_tile.cuh"

constexpr int DEPTH = 16, WARP_COLUMNS = 32;

template <int TILE>
constexpr int THREADS = TILE * 2;

template <class A, class B, int TILE, int PRODUCTS>
struct Engine : MmaTile<A, B, TILE / 2, WARP_COLUMNS, PRODUCTS> {
  static constexpr int STAGES = 4, ACROSS = TILE / WARP_COLUMNS;

  __device__ __forceinline__ Engine()
      : MmaTile<A, B, TILE / 2, WARP_COLUMNS, PRODUCTS>(threadIdx.x / 32 / ACROSS * (TILE / 2),
                                                        threadIdx.x / 32 % ACROSS * WARP_COLUMNS, threadIdx.x % 32) {}
};

template <class A, class B, int TILE>
struct Engine<A, B, TILE, 0> : ThreadTile<A, B, 8, 4, TILE / 16, WARP_COLUMNS / 4> {
  static constexpr int STAGES = 3, ACROSS = TILE / WARP_COLUMNS;

  __device__ __forceinline__ Engine()
      : ThreadTile<A, B, 8, 4, TILE / 16, WARP_COLUMNS / 4>(threadIdx.x / 32 / ACROSS * (TILE / 2),
                                                            threadIdx.x / 32 % ACROSS * WARP_COLUMNS,
                                                            threadIdx.x % 32 / 4, threadIdx.x % 4) {}
};
