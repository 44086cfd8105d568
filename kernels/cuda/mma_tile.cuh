// A tile of y in the registers of a warp, multiplied by its tensor core: mma.sync m16n8k8, TF32 in and float32 out.
//
//     one instruction, 32 threads:                    thread (g, q), g = lane / 4 and q = lane % 4, holds
//
//                   b (8, 8)                             a: rows g, g + 8       steps q, q + 4
//                  +--------+                            b: columns g           steps q, q + 4
//                  |        |                            y: rows g, g + 8       columns 2 q, 2 q + 1
//                  +--------+
//       a (16, 8)  y (16, 8)                          2048 FLOPs for 4 + 2 loads of a thread; the factors of a warp
//      +--------+  +--------+                         tile of 64 x 32 are loaded once for 4 x 4 instructions.
//      |        |  |        |
//      |        |  |        |                         The panels' padding makes each load free of bank conflicts:
//      +--------+  +--------+                         20 g + q and 8 q + g differ for all 32 lanes (mod 32).
//
// TF32 keeps 10 of float32's 23 bits of mantissa: a relative error of 5e-4 in each factor. PRODUCTS = 3 wins the rest
// back: every factor is split into high + low, two TF32 numbers that carry 21 bits, and
//
//     a b = a_high b_high + a_high b_low + a_low b_high        (a_low b_low is below float32's last bit)
//
// three instructions in place of one. They still pay: the peak rate of TF32 on an A100's tensor cores is eight times
// that of its float32 units. The name 3xTF32 is CUTLASS's. An infinite factor gives NaN, where float32 might give
// infinity.
//
// Tensor cores cut off where float32 rounds when they add to a long sum: an error that always goes the same way. With
// three products the sums of a panel are therefore begun at zero and added to the long sums by ordinary additions.
#pragma once
#include "panel.cuh"

// N factors of one thread: as TF32, or as the sum of two.
template <int N, int PRODUCTS>
struct Factors {
  u32 high[N], low[PRODUCTS == 3 ? N : 1];

  __device__ __forceinline__ void set(int e, float factor) {
    high[e] = to_tf32(factor);
    if constexpr (PRODUCTS == 3) low[e] = to_tf32(factor - __uint_as_float(high[e]));
  }
};

template <class A, class B, int WARP_ROWS, int WARP_COLUMNS, int PRODUCTS>
struct MmaTile {
  static constexpr int DOWN = WARP_ROWS / 16, ACROSS = WARP_COLUMNS / 8, ROWS = 2 * DOWN, COLUMNS = 2 * ACROSS;
  static_assert(PRODUCTS == 1 || PRODUCTS == 3, "TF32 or 3xTF32");
  using Sums = float[DOWN][ACROSS][4];

  const int first_row, first_column;  // of the warp's part, in the block's tile
  const int g, q;
  Sums sums;

  __device__ __forceinline__ MmaTile(int first_row, int first_column, int lane)
      : first_row(first_row), first_column(first_column), g(lane / 4), q(lane % 4), sums{} {}

  __device__ __forceinline__ int row(int i) const { return first_row + i / 2 * 16 + i % 2 * 8 + g; }
  __device__ __forceinline__ int column(int j) const { return first_column + j / 2 * 8 + 2 * q + j % 2; }
  __device__ __forceinline__ float sum(int i, int j) const { return sums[i / 2][j / 2][i % 2 * 2 + j % 2]; }

  // Number `at` (a row of a, a column of b) of step k.
  template <class P>
  static __device__ __forceinline__ float factor(const float* panel, int at, int k) {
    return P::ALONG_K ? panel[at * P::STRIDE + k] : panel[k * P::STRIDE + at];
  }

  __device__ __forceinline__ void multiply(const float* a, const float* b) {
    if constexpr (PRODUCTS == 1) {
      add_products(a, b, sums);
    } else {
      Sums panel_sums{};
      add_products(a, b, panel_sums);
#pragma unroll
      for (int i = 0; i < DOWN; i++)
#pragma unroll
        for (int j = 0; j < ACROSS; j++)
#pragma unroll
          for (int e = 0; e < 4; e++) sums[i][j][e] += panel_sums[i][j][e];
    }
  }

  __device__ __forceinline__ void add_products(const float* a, const float* b, Sums& to) const {
#pragma unroll
    for (int k = 0; k < A::DEPTH; k += 8) {
      Factors<4, PRODUCTS> from_a[DOWN];
      Factors<2, PRODUCTS> from_b[ACROSS];
#pragma unroll
      for (int i = 0; i < DOWN; i++)
#pragma unroll
        for (int e = 0; e < 4; e++)
          from_a[i].set(e, factor<A>(a, first_row + 16 * i + g + e % 2 * 8, k + q + e / 2 * 4));
#pragma unroll
      for (int j = 0; j < ACROSS; j++)
#pragma unroll
        for (int e = 0; e < 2; e++) from_b[j].set(e, factor<B>(b, first_column + 8 * j + g, k + q + e * 4));
#pragma unroll
      for (int i = 0; i < DOWN; i++)
#pragma unroll
        for (int j = 0; j < ACROSS; j++) {
          if constexpr (PRODUCTS == 3) {  // the small ones first
            mma_tf32(to[i][j], from_a[i].low, from_b[j].high);
            mma_tf32(to[i][j], from_a[i].high, from_b[j].low);
          }
          mma_tf32(to[i][j], from_a[i].high, from_b[j].high);
        }
    }
  }
};
