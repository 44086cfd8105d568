// An operand of gemm_wgmma.cu, prepared: the steps of k side by side, rounded to TF32, or split into two halves.
//
//     matrix            prepared (PARTS, rows, stride)             high = TF32 of x          PARTS = 1: high alone
//     rows x k,         [0] high, [1] low                          low  = TF32 of x - high   PARTS = 2: both
//     or k x rows       stride: k, up to the next multiple of 4
//     if TRANSPOSED
//
// Tensor cores read TF32 out of four bytes and would cut the other digits off; rounded once here, no warp has to do it
// for each tile. TMA wants lines that begin at multiples of 16 bytes: hence the stride. What lies between k and the
// stride is not written, and not read: the map of the copy ends at k.
//
// Thread: 4 numbers of a tile. Warp: lines of 32 neighbours, in both directions: a tile that has to be turned is turned
// in shared memory, whose 33rd column keeps a column's 32 numbers in different banks. Block: 256 threads, 32 x 32
// numbers, 4 bytes read and 4 PARTS written for each: bound by memory.
#include "matrix.cuh"
#include "ptx.cuh"

constexpr int SIDE = 32, LINES = 8;

template <bool TRANSPOSED, int PARTS>
__global__ void __launch_bounds__(SIDE * LINES)
gemm_operand(const float* __restrict__ matrix, float* __restrict__ prepared, int rows, int k, int stride) {
  __shared__ float tile[SIDE][SIDE + 1];
  const int across = (k + SIDE - 1) / SIDE, lane = threadIdx.x % SIDE, warp = threadIdx.x / SIDE;
  const int row0 = blockIdx.x / across * SIDE, step0 = blockIdx.x % across * SIDE;
  for (int line = warp; line < SIDE; line += LINES) {
    const int row = row0 + (TRANSPOSED ? lane : line), step = step0 + (TRANSPOSED ? line : lane);
    if (row < rows && step < k) tile[line][lane] = element<TRANSPOSED>(matrix, row, step, rows, k);
  }
  if constexpr (TRANSPOSED) __syncthreads();
  for (int line = warp; line < SIDE; line += LINES) {
    const int row = row0 + line, step = step0 + lane;
    if (row >= rows || step >= k) continue;
    const float x = TRANSPOSED ? tile[lane][line] : tile[line][lane];
    const u32 high = to_tf32(x);
    float* const to = prepared + (size_t)row * stride + step;
    *to = __uint_as_float(high);
    if constexpr (PARTS == 2) to[(size_t)rows * stride] = __uint_as_float(to_tf32(x - __uint_as_float(high)));
  }
}
