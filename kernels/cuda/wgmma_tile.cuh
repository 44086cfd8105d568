// A tile of y in the registers of a warp group, multiplied out of shared memory by its tensor cores: wgmma m64n128k8.
//
// The instruction of rung 7 wants its factors in registers, loaded by program. This one reads them out of shared memory
// itself: 64 x 8 numbers of a, 8 x 128 of b, and 128 threads issue it together and go on while it works. It finds the
// factors by two descriptors, so they must lie as it expects. TF32 leaves one choice, k side by side:
//
//     a panel is ROWS lines of 32 steps of k, 128 bytes: eight pieces of 16 bytes, each four steps
//
//       in memory                    in shared memory, where TMA puts it
//       line 0   0 1 2 3 4 5 6 7       0 1 2 3 4 5 6 7        Piece p of line r lies at place p XOR r % 8.
//       line 1   0 1 2 3 4 5 6 7       1 0 3 2 5 4 7 6
//       line 2   0 1 2 3 4 5 6 7       2 3 0 1 6 7 4 5        A place is four of the 32 banks. The instruction takes
//       line 3   0 1 2 3 4 5 6 7       3 2 1 0 7 6 5 4        the same piece of eight lines at once: on the left the
//       line 4   0 1 2 3 4 5 6 7       4 5 6 7 0 1 2 3        same four banks eight times, on the right all banks.
//       line 5   0 1 2 3 4 5 6 7       5 4 7 6 1 0 3 2
//       line 6   0 1 2 3 4 5 6 7       6 7 4 5 2 3 0 1        This is the swizzle of 128 bytes. It repeats every 1024
//       line 7   0 1 2 3 4 5 6 7       7 6 5 4 3 2 1 0        bytes, and panels begin there.
//
// With PRODUCTS = 3 a panel is two, high halves and then low ones, and the sums of a panel are begun at zero: see
// mma_tile.cuh for both.
#pragma once
#include "ptx_sm90.cuh"

constexpr int DEPTH = 32;                       // steps of k in a panel: a line of the swizzle
constexpr int GROUP_ROWS = 64, COLUMNS = 128;  // of y, of a warp group
constexpr u32 SWIZZLE_BYTES = 1024;

// What wgmma has to know of a panel: where it begins, in units of 16 bytes; how far apart groups of eight lines lie
// (bit 32 on), in the same units; the kind of swizzle (bit 62 on: 1 is that of 128 bytes). The distance from bit 16 on
// plays no part in this layout, by convention it is 1.
__device__ __forceinline__ u64 descriptor(const float* panel) {
  return (u64)(shared_address(panel) >> 4) | 1ull << 16 | (u64)(SWIZZLE_BYTES >> 4) << 32 | 1ull << 62;
}

// Steps of k further on in the same panel. The swizzle is a function of the address, so a start within a line will do.
__device__ __forceinline__ u64 advanced(u64 descriptor, int steps) {
  return descriptor + (steps * sizeof(float) >> 4);
}

template <int PRODUCTS>
struct WgmmaTile {
  static constexpr int ROWS = 2, COLUMNS = ::COLUMNS / 4;  // of a thread
  static constexpr int PARTS = PRODUCTS == 3 ? 2 : 1;
  static_assert(PRODUCTS == 1 || PRODUCTS == 3, "TF32 or 3xTF32");

  const int first_row;  // of the warp group, in the block's tile
  float sums[64];

  __device__ __forceinline__ explicit WgmmaTile(int first_row) : first_row(first_row), sums{} {}

  __device__ __forceinline__ int row(int i) const {
    return first_row + threadIdx.x % 128 / 32 * 16 + threadIdx.x % 32 / 4 + 8 * i;
  }
  __device__ __forceinline__ int column(int j) const { return j / 2 * 8 + threadIdx.x % 4 * 2 + j % 2; }
  __device__ __forceinline__ float sum(int i, int j) const { return sums[j / 2 * 4 + i * 2 + j % 2]; }

  // a and b: the block's panels of high halves; those of low ones lie a_part and b_part numbers behind them.
  __device__ __forceinline__ void multiply(const float* a, int a_part, const float* b, int b_part) {
    const u64 a_high = descriptor(a + first_row * DEPTH), b_high = descriptor(b);
    if constexpr (PRODUCTS == 1) {
      wgmma_fence(sums);
#pragma unroll
      for (int k = 0; k < DEPTH; k += 8) wgmma_tf32(sums, advanced(a_high, k), advanced(b_high, k), true);
      wgmma_commit();
      wgmma_wait<0>(sums);
    } else {
      const u64 a_low = descriptor(a + a_part + first_row * DEPTH), b_low = descriptor(b + b_part);
      float panel_sums[64];
      wgmma_fence(panel_sums);
#pragma unroll
      for (int k = 0; k < DEPTH; k += 8) {  // the small ones first
        wgmma_tf32(panel_sums, advanced(a_low, k), advanced(b_high, k), k > 0);
        wgmma_tf32(panel_sums, advanced(a_high, k), advanced(b_low, k), true);
        wgmma_tf32(panel_sums, advanced(a_high, k), advanced(b_high, k), true);
      }
      wgmma_commit();
      wgmma_wait<0>(panel_sums);
#pragma unroll
      for (int e = 0; e < 64; e++) sums[e] += panel_sums[e];
    }
  }
};
