// Matrix product, rung 3: a tile of each operand in shared memory, read from far away once and used 32 times.
//
//                       b              A block computes a tile of 32 x 32 numbers of y. It walks along k in
//                    +--+--+--+        steps of 32: all threads together copy the two tiles that meet in this
//                    |  |B |  |        step, wait for each other, and multiply out of the copies.
//                    +--+--+--+
//                    |  |B'|  |        Thread: one number of y, and in a step one number of A and one of B to
//           a        +--+--+--+        copy. 2 k FLOPs; from memory 2 k / 32 loads, k / 4 bytes of float32.
//       +--+--+--+   +--+--+--+        From shared memory still two loads for every multiply-add: that is what
//       |  |  |  |   |  |  |  |        this rung waits for.
//       +--+--+--+   +--+--+--+        Warp: one row of the tile. It reads one number of A for all lanes (a
//       |A |A'|  |   |  |Y |  |        broadcast) and a row of B, 32 neighbours in 32 banks.
//       +--+--+--+   +--+--+--+        Block: 1024 threads, 8.4 KB of shared memory in float32.
//
// A column of padding (33 numbers a row) is for the transposed operands: copied along memory, they are stored down a
// column, and 32 numbers that lie 32 apart would all be in one bank.
#include "epilogue.cuh"
#include "matrix.cuh"

constexpr int SIDE = 32;

template <typename T, bool TRANS_A, bool TRANS_B>
__global__ void __launch_bounds__(SIDE * SIDE)
gemm_shared(const T* __restrict__ a, const T* __restrict__ b, const T* __restrict__ bias, T* __restrict__ y, int m,
            int k, int n, int activation, T parameter, int accumulate) {
  __shared__ T a_tile[SIDE][SIDE + 1], b_tile[SIDE][SIDE + 1];
  const int lane = threadIdx.x % SIDE, warp = threadIdx.x / SIDE;
  const BlockTile at = block_tile<SIDE, SIDE>(n);
  // The lanes run along memory in every copy; what a transposed operand brings in is stored with its indices exchanged.
  const int a_row = TRANS_A ? lane : warp, a_step = TRANS_A ? warp : lane;
  const int b_step = TRANS_B ? lane : warp, b_column = TRANS_B ? warp : lane;
  T sum = 0;
  for (int k0 = 0; k0 < k; k0 += SIDE) {
    const bool in_a = at.row + a_row < m && k0 + a_step < k, in_b = k0 + b_step < k && at.column + b_column < n;
    a_tile[a_row][a_step] = in_a ? element<TRANS_A>(a, at.row + a_row, k0 + a_step, m, k) : T(0);
    b_tile[b_step][b_column] = in_b ? element<TRANS_B>(b, k0 + b_step, at.column + b_column, k, n) : T(0);
    __syncthreads();  // the tiles are complete
#pragma unroll
    for (int p = 0; p < SIDE; p++) sum += a_tile[warp][p] * b_tile[p][lane];
    __syncthreads();  // nobody reads them any more
  }
  const int row = at.row + warp, column = at.column + lane;
  if (row >= m || column >= n) return;
  const Epilogue<T> epilogue(bias, activation, parameter, accumulate);
  epilogue.deliver(y + (size_t)row * n + column, sum, column);
}
