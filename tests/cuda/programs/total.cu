// The sum over all blocks: each leaves its part, and the block that comes last adds them up.
extern "C" __global__ void total(const float* __restrict__ x, float* parts, int* counter, float* __restrict__ sum) {
  __shared__ bool last;
  if (threadIdx.x == 0) {
    float part = 0;
    for (int i = 0; i < (int)blockDim.x; i++) part += x[blockIdx.x * blockDim.x + i];
    parts[blockIdx.x] = part;
    __threadfence();
    last = atomicAdd(counter, 1) == (int)gridDim.x - 1;
    __threadfence();
  }
  __syncthreads();
  if (last && threadIdx.x == 1) {
    float all = 0;
    for (int b = 0; b < (int)gridDim.x; b++) all += parts[b];
    *sum = all;
  }
}
