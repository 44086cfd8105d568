// Matrix product, rung 8: a warp that only copies, and warps that only multiply. Compute capability 9.0 (sm_90a).
//
//     producer: one thread                  ring of stages in shared memory           consumers: two warp groups
//
//                       wait empty[s]      +-------------+  full[s]                  wait full[s]
//     a, b (memory) --> announce bytes --> | A(128, 32)  | --------> 64 x 128 of y   multiply (wgmma_tile.cuh)
//                       copy a, copy b     | B(128, 32)  | --------> 64 x 128 of y   arrive at empty[s]
//                           (TMA)          +-------------+  empty[s]
//                                          | next stage  | <--------
//                                          +-------------+
//
//     step        0       1       2       3       4        full[s] is over when the bytes of a step are there, empty[s]
//     stage 0   copy    copy    multiply                   when all eight warps have multiplied them. Stages are used in
//     stage 1           copy    copy    multiply           turn, so step t is about phase t / STAGES of its barriers; and
//     stage 2                   copy    copy    multiply   odd or even is all that a barrier tells of a phase.
//
// No thread of a block waits for all others any more: the producer runs ahead as far as there are stages, and while one
// warp group stores or waits, the other keeps the tensor cores busy.
//
// Both operands come prepared (gemm_operand.cu): k side by side, as wgmma wants them, and rounded to TF32 or, with
// PRODUCTS = 3, split into high and low halves. That costs 4 (m k + k n) bytes read and as many written, twice as many
// of halves: of a square of 4096, 268 (402) MB for 137 (412) GFLOPs.
//
// Thread: 64 sums, 64 more of a panel with PRODUCTS = 3. Warp group: 64 x 128 of y, in a step 4 (12) instructions of
// 131072 FLOPs each and not one load. Block: 128 x 128 of y; a step of 32 copies 32 (64) KB for 1 (3) MFLOPs, 32 (48)
// FLOPs a byte. 288 threads; 6 (3) stages, 193 KB of shared memory.
#include "epilogue.cuh"
#include "matrix.cuh"
#include "wgmma_tile.cuh"

constexpr int TILE = 128, CONSUMERS = 256, THREADS = CONSUMERS + 32;
constexpr int PANEL = TILE * DEPTH;  // numbers
constexpr int RING_BYTES = 192 << 10;

template <int PRODUCTS>
__global__ void __launch_bounds__(THREADS, 1)
gemm_wgmma(const __grid_constant__ TensorMap a, const __grid_constant__ TensorMap b, const float* __restrict__ bias,
           float* __restrict__ y, int m, int k, int n, int activation, float parameter, int accumulate) {
  constexpr int PARTS = WgmmaTile<PRODUCTS>::PARTS, OPERAND = PARTS * PANEL;
  constexpr int STAGES = RING_BYTES / (2 * OPERAND * sizeof(float));
  MG_DYN_SHARED(unsigned char, memory);
  __shared__ u64 full[STAGES], empty[STAGES];
  float* const ring = reinterpret_cast<float*>(memory + (0 - shared_address(memory)) % SWIZZLE_BYTES);
  const BlockTile at = block_tile<TILE, TILE>(n);
  const int steps = (k + DEPTH - 1) / DEPTH;
  if (threadIdx.x == 0) {
    for (int s = 0; s < STAGES; s++) {
      mbarrier_init(&full[s], 1);
      mbarrier_init(&empty[s], CONSUMERS / 32);
    }
    fence_async();
  }
  __syncthreads();

  if (threadIdx.x >= CONSUMERS) {
    if (threadIdx.x != CONSUMERS) return;
    for (int step = 0; step < steps; step++) {
      const int s = step % STAGES, phase = step / STAGES;
      float* const stage = ring + s * 2 * OPERAND;
      mbarrier_wait(&empty[s], (phase + 1) & 1);  // for the phase before: before the first nobody has to empty anything
      mbarrier_expect(&full[s], 2 * OPERAND * sizeof(float));
      tma_load(stage, a, step * DEPTH, at.row, 0, &full[s]);
      tma_load(stage + OPERAND, b, step * DEPTH, at.column, 0, &full[s]);
    }
    return;
  }

  WgmmaTile<PRODUCTS> tile(threadIdx.x / 128 * GROUP_ROWS);
  for (int step = 0; step < steps; step++) {
    const int s = step % STAGES, phase = step / STAGES;
    const float* const stage = ring + s * 2 * OPERAND;
    mbarrier_wait(&full[s], phase & 1);
    tile.multiply(stage, PANEL, stage + OPERAND, PANEL);
    if (threadIdx.x % 32 == 0) mbarrier_arrive(&empty[s]);
  }
  const Epilogue<float> epilogue(bias, activation, parameter, accumulate);
  epilogue.deliver_tile(tile, MatrixRows<float>{y, at.row, m, n}, at.column, n);
}
