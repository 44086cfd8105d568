// Matrix product, rung 6: a warp takes a square piece of the tile, not two long rows of it; and a deeper pipeline.
//
//        rung 5: warp w                          here: 8 warps, 2 x 4
//      +----------------------+                +-----+-----+-----+-----+
//      |                      |                |     |     |     |     |   A warp's 32 threads stand 8 x 4 over
//      |wwwwwwwwwwwwwwwwwwwwww|                |  w  |     |     |     |   64 x 32 numbers of y.
//      |                      |                |     |     |     |     |
//      |                      |                +-----+-----+-----+-----+   In a step it reads 64 numbers of A
//      |                      |                |     |     |     |     |   and 32 of B, 96 different ones for
//      +----------------------+                |     |     |     |     |   2048 multiply-adds, where a row of
//      16 + 128 numbers a step                 +-----+-----+-----+-----+   threads needed 144.
//
// Shared memory delivers 128 bytes a clock whoever asks; lanes that want the same bytes are served together. So what
// counts is how many different ones a warp needs, and a square needs the fewest.
//
// Thread: 8 x 8 sums (4 x 8 in a block tile of 64). Warp: 64 x 32 (32 x 32). Block: TILE x TILE numbers of y, 16 deep a
// step, in three stages: two steps are on their way while one is multiplied. 256 threads (128); 60 KB of shared memory
// for float32 and TILE = 128. Traffic of the block as in rung 5: 128 (64) uses of each number.
//
// Where y has too few tiles to occupy the chip, gridDim.y blocks share a tile, each for a part of k, and write sums to
// slices of their own; split_sum.cu adds them in a fixed order.
#include "epilogue.cuh"
#include "matrix.cuh"
#include "pipeline.cuh"
#include "thread_tile.cuh"

constexpr int DEPTH = 16, STAGES = 3;

template <typename T, int TILE, bool TRANS_A, bool TRANS_B>
__global__ void __launch_bounds__(TILE * 2, 1)  // 1 block a multiprocessor will do: else one instance spills
gemm_warp(const T* __restrict__ a, const T* __restrict__ b, const T* __restrict__ bias, T* __restrict__ y, int m, int k,
          int n, int activation, T parameter, int accumulate) {
  constexpr int THREADS = TILE * 2, WARP_ROWS = TILE / 2, WARP_COLUMNS = 32, ACROSS = TILE / WARP_COLUMNS;
  using A = Panel<Matrix<T>, TILE, DEPTH, THREADS, !TRANS_A>;
  using B = Panel<Matrix<T>, TILE, DEPTH, THREADS, TRANS_B>;
  MG_DYN_SHARED(T, shared);
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
  const BlockTile at = block_tile<TILE, TILE>(n);
  const Steps steps = steps_of_split<DEPTH>(k);
  ThreadTile<A, B, 8, 4, WARP_ROWS / 8, WARP_COLUMNS / 4> tile(warp / ACROSS * WARP_ROWS, warp % ACROSS * WARP_COLUMNS,
                                                               lane / 4, lane % 4);
  multiply_panels<STAGES>(A(stored<TRANS_A>(a, m, k), at.row), B(stored<TRANS_B>(b, k, n), at.column), shared,
                          steps.first, steps.last, tile);
  const Epilogue<T> epilogue(bias, activation, parameter, accumulate);
  epilogue.deliver_tile(tile, MatrixRows<T>{y + (size_t)blockIdx.y * m * n, at.row, m, n}, at.column, n);
}
