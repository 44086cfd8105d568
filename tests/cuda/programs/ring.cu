// y (64, 128) = a (64, k) times b (128, k) transposed: one thread copies panels of 32 steps to a ring of two stages, by
// TMA, and a warp group multiplies them out of it.
#include "../../../kernels/cuda/ptx_sm90.cuh"

constexpr int STAGES = 2, A = 64 * 32, B = 128 * 32;  // numbers of a panel

__device__ u64 descriptor(const float* panel) { return shared_address(panel) >> 4 | 64ull << 32 | 1ull << 62; }

extern "C" __global__ void ring(const __grid_constant__ TensorMap a, const __grid_constant__ TensorMap b, float* y,
                                int steps) {
  MG_DYN_SHARED(float, memory);
  __shared__ u64 full[STAGES], empty[STAGES];
  float* const stages = memory + (0 - shared_address(memory)) % 1024 / 4;
  if (threadIdx.x == 0) {
    for (int s = 0; s < STAGES; s++) {
      mbarrier_init(&full[s], 1);
      mbarrier_init(&empty[s], 4);
    }
    fence_async();
  }
  __syncthreads();
  if (threadIdx.x >= 128) {
    for (int step = 0; threadIdx.x == 128 && step < steps; step++) {
      const int s = step % STAGES, phase = step / STAGES;
      float* const stage = stages + s * (A + B);
      mbarrier_wait(&empty[s], (phase + 1) % 2);
      mbarrier_expect(&full[s], (A + B) * 4);
      tma_load(stage, a, step * 32, 0, 0, &full[s]);
      tma_load(stage + A, b, step * 32, 0, 0, &full[s]);
    }
    return;
  }
  float sums[64] = {};
  for (int step = 0; step < steps; step++) {
    const int s = step % STAGES, phase = step / STAGES;
    const float* const stage = stages + s * (A + B);
    mbarrier_wait(&full[s], phase % 2);
    wgmma_fence(sums);
    for (int k = 0; k < 32; k += 8) wgmma_tf32(sums, descriptor(stage + k), descriptor(stage + A + k), true);
    wgmma_commit();
    wgmma_wait<0>(sums);
    if (threadIdx.x % 32 == 0) mbarrier_arrive(&empty[s]);
  }
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
  for (int e = 0; e < 64; e++) {
    const int row = 16 * warp + lane / 4 + e / 2 % 2 * 8, column = e / 4 * 8 + lane % 4 * 2 + e % 2;
    y[row * 128 + column] = sums[e];
  }
}
