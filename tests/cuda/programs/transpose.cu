// y (m, n) = transpose of x (n, m) by tiles of 16 x 16, through shared memory.
extern "C" __global__ void transpose(const float* __restrict__ x, float* __restrict__ y, int n, int m) {
  __shared__ float tile[16][17];
  int row = blockIdx.y * 16 + threadIdx.y, column = blockIdx.x * 16 + threadIdx.x;
  if (row < n && column < m) tile[threadIdx.y][threadIdx.x] = x[row * m + column];
  __syncthreads();
  row = blockIdx.x * 16 + threadIdx.y;
  column = blockIdx.y * 16 + threadIdx.x;
  if (row < m && column < n) y[row * n + column] = tile[threadIdx.x][threadIdx.y];
}
