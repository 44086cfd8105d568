// Matrix product, rung 7: tensor cores. A warp multiplies 16 x 8 x 8 numbers an instruction (mma_tile.cuh).
//
//       block: 128 x 128 of y, 16 deep a step, 8 warps                  warp: 64 x 32, 4 x 4 instructions a step of 8
//
//                      B (16, 128)                                             +----+----+----+----+
//                +-----+-----+-----+-----+                                     | 8                 |
//                +-----+-----+-----+-----+                                     +----+----+----+----+
//      A         +-----+-----+-----+-----+                             +----+  +----+----+----+----+
//     +---+      |     |     |     |     |                             | 16 |  |    |    |    |    |
//     |   |      |  w  |     |     |     |                             +----+  +----+----+----+----+
//     |   |      |     |     |     |     |                             |    |  |    |    |    |    |
//     +---+      +-----+-----+-----+-----+                             +----+  +----+----+----+----+
//     |   |      |     |     |     |     |                             |    |  |    |    |    |    |
//     |   |      |     |     |     |     |                             +----+  +----+----+----+----+
//     |   |      |     |     |     |     |                             |    |  |    |    |    |    |
//     +---+      +-----+-----+-----+-----+                             +----+  +----+----+----+----+
// (128, 16)
//
// PRODUCTS = 1: TF32, relative error 3e-4 of the result. PRODUCTS = 3: 3xTF32, as accurate as float32.
//
// Thread: 64 sums of the warp's 2048. Warp: in a step of 8, 16 + 8 loads of a thread for 16 (48) instructions of 2048
// FLOPs. Block: TILE x TILE numbers of y; a step of 16 copies 2 x 8 KB for 0.5 MFLOPs, 32 FLOPs a byte; four stages,
// 80 KB of shared memory. TILE = 64: 4 warps of 32 x 32, 16 FLOPs a byte, 40 KB: for products with few tiles.
//
// From the panels on everything is as in rung 6: the same copies, the same pipeline, the same splits of k.
#include "epilogue.cuh"
#include "matrix.cuh"
#include "mma_tile.cuh"
#include "pipeline.cuh"

constexpr int DEPTH = 16, STAGES = 4;

template <int TILE, int PRODUCTS, bool TRANS_A, bool TRANS_B>
__global__ void __launch_bounds__(TILE * 2)
gemm_tensor(const float* __restrict__ a, const float* __restrict__ b, const float* __restrict__ bias,
            float* __restrict__ y, int m, int k, int n, int activation, float parameter, int accumulate) {
  constexpr int THREADS = TILE * 2, WARP_ROWS = TILE / 2, WARP_COLUMNS = 32, ACROSS = TILE / WARP_COLUMNS;
  using A = Panel<Matrix<float>, TILE, DEPTH, THREADS, !TRANS_A>;
  using B = Panel<Matrix<float>, TILE, DEPTH, THREADS, TRANS_B>;
  MG_DYN_SHARED(float, shared);
  const int warp = threadIdx.x / 32;
  const BlockTile at = block_tile<TILE, TILE>(n);
  const Steps steps = steps_of_split<DEPTH>(k);
  MmaTile<A, B, WARP_ROWS, WARP_COLUMNS, PRODUCTS> tile(warp / ACROSS * WARP_ROWS, warp % ACROSS * WARP_COLUMNS,
                                                        threadIdx.x % 32);
  multiply_panels<STAGES>(A(stored<TRANS_A>(a, m, k), at.row), B(stored<TRANS_B>(b, k, n), at.column), shared,
                          steps.first, steps.last, tile);
  const Epilogue<float> epilogue(bias, activation, parameter, accumulate);
  epilogue.deliver_tile(tile, MatrixRows<float>{y + (size_t)blockIdx.y * m * n, at.row, m, n}, at.column, n);
}
