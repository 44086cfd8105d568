// The sum of each block's numbers: shuffles within a warp, shared memory between warps.
__device__ __forceinline__ float warp_sum(float v) {
  for (int lanes = 16; lanes > 0; lanes >>= 1) v += __shfl_xor_sync(0xffffffffu, v, lanes);
  return v;
}

extern "C" __global__ void block_sum(const float* __restrict__ x, float* __restrict__ sums) {
  __shared__ float partial[32];
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32, warps = blockDim.x / 32;
  float v = warp_sum(x[blockIdx.x * blockDim.x + threadIdx.x]);
  if (lane == 0) partial[warp] = v;
  __syncthreads();
  if (warp == 0) {
    v = warp_sum(lane < warps ? partial[lane] : 0.0f);
    if (lane == 0) sums[blockIdx.x] = v;
  }
}
