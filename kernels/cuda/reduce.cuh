// Sums that are the same in every run: who adds what to what follows from the shapes alone, and nothing is atomic.
//
// These sums are taken in double precision, whatever the numbers are. Two patterns serve all sums over rows, samples and
// columns; products, windows and scattered rows are summed in the numbers' own type, where they are computed:
//
//   block_sums    over a contiguous piece:  lanes of a warp by butterfly, then the warps through shared memory
//   column_sums   over the rows of a matrix (R, C), all columns at once:
//
//        threadIdx.x -> column       gridDim.y strips take turns of `height` rows of a matrix. Thread (x, y) walks
//       +---+---+---+---+            down its column and adds row y of each turn of its strip;
//     y | . | . | . | . | } height   then the `height` sums of a column are added as a tree in shared memory
//       +---+---+---+---+            one partial sum a column, a strip and a quantity; add_totals adds the strips
#pragma once

const int THREADS = 256;  // of a block that adds columns: blockDim.x columns times blockDim.y rows

// The sum over a warp, in every lane; all 32 lanes must call it.
__device__ __forceinline__ double warp_sum(double value) {
  for (int distance = 16; distance; distance /= 2) value += __shfl_xor_sync(0xffffffffu, value, distance);
  return value;
}

// In place: K sums over the block, in every thread. The block is one row of whole warps; all threads must call it.
template <int K>
__device__ __forceinline__ void block_sums(double (&values)[K]) {
  __shared__ double of_warps[K][32];
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32, warps = blockDim.x / 32;
  for (int k = 0; k < K; k++) values[k] = warp_sum(values[k]);
  __syncthreads();  // the sums of an earlier call have been read
  if (lane == 0)
    for (int k = 0; k < K; k++) of_warps[k][warp] = values[k];
  __syncthreads();
  for (int k = 0; k < K; k++) values[k] = warp_sum(lane < warps ? of_warps[k][lane] : 0.0);
}

// partial (K, strips, C): the sums of K quantities over the rows of each strip; terms(row, column, values) adds to
// values[k] what an element contributes. Block (width, THREADS/width), grid (columns/width, strips).
template <int K, class Terms>
__device__ __forceinline__ void column_sums(const Terms& terms, int rows, int columns, double* __restrict__ partial) {
  __shared__ double sums[K][THREADS];
  const int column = blockIdx.x * blockDim.x + threadIdx.x, height = blockDim.y;
  const int thread = threadIdx.y * blockDim.x + threadIdx.x;
  double values[K];
  for (int k = 0; k < K; k++) values[k] = 0;
  if (column < columns)
    for (long long row = blockIdx.y * height + threadIdx.y; row < rows; row += gridDim.y * height)
      terms((int)row, column, values);
  for (int k = 0; k < K; k++) sums[k][thread] = values[k];
  for (int half = height / 2; half; half /= 2) {
    __syncthreads();
    if (threadIdx.y < half)
      for (int k = 0; k < K; k++) sums[k][thread] += sums[k][thread + half * blockDim.x];
  }
  if (threadIdx.y == 0 && column < columns)  // what this thread reads, it has written itself
    for (int k = 0; k < K; k++) partial[((size_t)k * gridDim.y + blockIdx.y) * columns + column] = sums[k][thread];
}

// The sum of quantity k in a column over all strips, in every lane of the warp that calls it.
__device__ __forceinline__ double strips_total(const double* __restrict__ partial, int strips, int columns, int k,
                                               int column) {
  double sum = 0;
  for (int strip = threadIdx.x % 32; strip < strips; strip += 32)
    sum += partial[((size_t)k * strips + strip) * columns + column];
  return warp_sum(sum);
}
