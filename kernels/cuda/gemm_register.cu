// Matrix product, rung 4: a tile of y in the registers of each thread, so that a number out of shared memory is used
// four times.
//
//        one step of k                    A block computes 64 x 64 numbers of y, a thread 4 x 4 of them.
//
//              b: 4 numbers               In a step of k a thread loads 4 + 4 numbers out of shared memory for
//             +--+--+--+--+               16 multiply-adds: half a load each, where rung 3 needed two.
//             |  |  |  |  |
//             +--+--+--+--+               Thread: 32 k FLOPs; from memory 8 numbers in a step of 16, that is
//      +--+   +--+--+--+--+               2 k bytes of float32; registers: 16 sums, 8 factors.
//      |  |   |##|##|##|##|               Warp: a tile of 8 x 64: two rows of threads. Of A it reads 2 x 4
//      +--+   +--+--+--+--+               different numbers, of B all 64.
//    a |  |   |##|##|##|##|  16 sums      Block: 256 threads (16 x 16), tiles of 64 x 16 of a and 16 x 64 of
//      +--+   +--+--+--+--+               b, 8.3 KB of shared memory in float32: memory serves 64 uses of a
//      |  |   |##|##|##|##|               number where rung 3 had 32.
//      +--+   +--+--+--+--+
//      |  |   |##|##|##|##|               A thread's columns lie 16 apart, not side by side: in each load of B
//      +--+   +--+--+--+--+               16 threads then read 16 neighbours, different banks.
#include "epilogue.cuh"
#include "matrix.cuh"

constexpr int TILE = 64, DEPTH = 16, SIDE = 4, ACROSS = TILE / SIDE, THREADS = ACROSS * ACROSS;

template <typename T>
struct RegisterTile {
  static constexpr int ROWS = SIDE, COLUMNS = SIDE;
  T sums[SIDE][SIDE];

  __device__ __forceinline__ int row(int i) const { return threadIdx.x / ACROSS + i * ACROSS; }
  __device__ __forceinline__ int column(int j) const { return threadIdx.x % ACROSS + j * ACROSS; }
  __device__ __forceinline__ T sum(int i, int j) const { return sums[i][j]; }
};

template <typename T, bool TRANS_A, bool TRANS_B>
__global__ void __launch_bounds__(THREADS)
gemm_register(const T* __restrict__ a, const T* __restrict__ b, const T* __restrict__ bias, T* __restrict__ y, int m,
              int k, int n, int activation, T parameter, int accumulate) {
  __shared__ T a_tile[DEPTH][TILE + 1], b_tile[DEPTH][TILE + 1];
  const BlockTile at = block_tile<TILE, TILE>(n);
  RegisterTile<T> tile{};
  for (int k0 = 0; k0 < k; k0 += DEPTH) {
    for (int i = threadIdx.x; i < TILE * DEPTH; i += THREADS) {  // along memory, whichever way that is
      const int a_row = TRANS_A ? i % TILE : i / DEPTH, a_step = TRANS_A ? i / TILE : i % DEPTH;
      const int b_step = TRANS_B ? i % DEPTH : i / TILE, b_column = TRANS_B ? i / DEPTH : i % TILE;
      const bool in_a = at.row + a_row < m && k0 + a_step < k, in_b = k0 + b_step < k && at.column + b_column < n;
      a_tile[a_step][a_row] = in_a ? element<TRANS_A>(a, at.row + a_row, k0 + a_step, m, k) : T(0);
      b_tile[b_step][b_column] = in_b ? element<TRANS_B>(b, k0 + b_step, at.column + b_column, k, n) : T(0);
    }
    __syncthreads();
#pragma unroll
    for (int p = 0; p < DEPTH; p++) {
      T from_a[SIDE], from_b[SIDE];
#pragma unroll
      for (int i = 0; i < SIDE; i++) {
        from_a[i] = a_tile[p][tile.row(i)];
        from_b[i] = b_tile[p][tile.column(i)];
      }
#pragma unroll
      for (int i = 0; i < SIDE; i++)
#pragma unroll
        for (int j = 0; j < SIDE; j++) tile.sums[i][j] += from_a[i] * from_b[j];
    }
    __syncthreads();
  }
  const Epilogue<T> epilogue(bias, activation, parameter, accumulate);
  epilogue.deliver_tile(tile, MatrixRows<T>{y, at.row, m, n}, at.column, n);
}
