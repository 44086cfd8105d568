// Each warp's numbers, moved on by one lane through shared memory, with nothing but __syncwarp; then to y four at a time.
extern "C" __global__ void rotate(const float* __restrict__ x, float* __restrict__ y) {
  __shared__ __align__(16) float line[64];
  const int lane = threadIdx.x % 32, first = threadIdx.x - lane;
  line[threadIdx.x] = x[threadIdx.x];
  __syncwarp();
  const float next = line[first + (lane + 1) % 32];
  __syncwarp();
  line[threadIdx.x] = next;
  __syncwarp();
  if (lane < 8) *reinterpret_cast<float4*>(&y[first + lane * 4]) = *reinterpret_cast<const float4*>(&line[first + lane * 4]);
}
