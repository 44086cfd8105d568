// y[i] = the sum over chunks c of x[c][i] + x[c][i ^ 1], each chunk brought to dynamic shared memory by asynchronous
// copies, one chunk ahead of the sums.
#include "../../../kernels/cuda/ptx.cuh"
extern "C" __global__ void neighbours(const float* __restrict__ x, float* __restrict__ y, int chunks) {
  MG_DYN_SHARED(float, buffers);
  const int n = blockDim.x * 4, i = threadIdx.x * 4;
  auto fetch = [&](int c) {
    if (c < chunks) cp_async16(&buffers[c % 2 * n + i], &x[c * n + i], 16);
    cp_async_commit();
  };
  float sum[4] = {0, 0, 0, 0};
  fetch(0);
  for (int c = 0; c < chunks; c++) {
    fetch(c + 1);
    cp_async_wait<1>();
    __syncthreads();
    const float* chunk = &buffers[c % 2 * n];
    for (int e = 0; e < 4; e++) sum[e] += chunk[i + e] + chunk[(i + e + 4) % n];
    __syncthreads();
  }
  for (int e = 0; e < 4; e++) y[i + e] = sum[e];
}
