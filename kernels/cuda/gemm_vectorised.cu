// Matrix product, rung 5: sixteen bytes an instruction, and copies that run while the block multiplies.
//
//        stage 0          stage 1              A block computes 128 x 128 numbers of y (64 x 64 of float64),
//      +---------+      +---------+            16 deep a step. Of each operand two panels lie in shared memory:
//      | A | B   |      | A | B   |            one is multiplied while the next one comes in (pipeline.cuh).
//      +---------+      +---------+
//       multiply          copying              A copy goes from memory to shared memory, not by way of a
//                                              register, 16 bytes an instruction (panel.cuh): 4 instructions
//                                              a thread and step, where rung 4 had 8 loads and 8 stores for a
//                                              quarter of the tile.
//
// Thread: 8 x 8 sums (4 x 4 of float64), 128 k FLOPs; from memory k / 16 x 16 numbers, 4 k bytes: 32 FLOPs a byte. From
//         shared memory a sixteenth of a load for each multiply-add (thread_tile.cuh).
// Warp:   two rows of threads: of A it reads 2 x 8 different numbers a step, of B all 128.
// Block:  256 threads, 16 x 16. 40 KB of shared memory, dynamic.
#include "epilogue.cuh"
#include "matrix.cuh"
#include "pipeline.cuh"
#include "thread_tile.cuh"

constexpr int DEPTH = 16, THREADS = 256, ACROSS = 16, STAGES = 2;

template <typename T, bool TRANS_A, bool TRANS_B>
__global__ void __launch_bounds__(THREADS)
gemm_vectorised(const T* __restrict__ a, const T* __restrict__ b, const T* __restrict__ bias, T* __restrict__ y, int m,
                int k, int n, int activation, T parameter, int accumulate) {
  constexpr int TILE = 512 / sizeof(T), SIDE = TILE / ACROSS;
  using A = Panel<Matrix<T>, TILE, DEPTH, THREADS, !TRANS_A>;
  using B = Panel<Matrix<T>, TILE, DEPTH, THREADS, TRANS_B>;
  MG_DYN_SHARED(T, shared);
  const BlockTile at = block_tile<TILE, TILE>(n);
  ThreadTile<A, B, ACROSS, ACROSS, SIDE, SIDE> tile(0, 0, threadIdx.x / ACROSS, threadIdx.x % ACROSS);
  multiply_panels<STAGES>(A(stored<TRANS_A>(a, m, k), at.row), B(stored<TRANS_B>(b, k, n), at.column), shared, 0, k,
                          tile);
  const Epilogue<T> epilogue(bias, activation, parameter, accumulate);
  epilogue.deliver_tile(tile, MatrixRows<T>{y, at.row, m, n}, at.column, n);
}
