// Softmax and cross-entropy of rows of logits: a warp a row.
//
// The lanes of a warp share the classes of a row: maximum, sum of exponentials, gradient, three walks over a row that
// stays in the cache. Losses go out in double precision, one a row, and mean_loss averages them.
//
//     class       0    1        31   32   33
//              +----+----+----+----+----+----+----+
//     warp 0   | l0 | l1 | .. | l31| l0 | l1 | .. |  row 0       l0: lane 0 reads it, three times over
//     warp 1   | l0 | l1 | .. | l31| l0 | l1 | .. |  row 1       a block: as many rows as it has warps
//              +----+----+----+----+----+----+----+
//                 maximum and sum: by butterfly over the 32 lanes, so that all of them know it
#include "common.cuh"
#include "numbers.cuh"
#include "reduce.cuh"

__device__ __forceinline__ double warp_maximum(double value) {
  for (int distance = 16; distance; distance /= 2) {
    const double other = __shfl_xor_sync(0xffffffffu, value, distance);
    value = other > value ? other : value;
  }
  return value;
}

// losses[n] = log(sum_k exp(l[n, k])) - l[n, label];  dlogits = (softmax(l) - onehot(label))/N.
// A label that does not exist makes its row NaN.
template <class T, class Index>
__global__ void softmax_cross_entropy(const T* __restrict__ logits, const Index* __restrict__ labels, int rows,
                                      int classes, double* __restrict__ losses, T* __restrict__ dlogits) {
  const int row = blockIdx.x * (blockDim.x / 32) + threadIdx.x / 32, lane = threadIdx.x % 32;
  if (row >= rows) return;  // a whole warp
  const T* l = logits + (size_t)row * classes;
  const long long label = labels[row];
  double top = l[0];  // subtracted, so that exp cannot overflow
  for (int k = lane; k < classes; k += 32) top = l[k] > top ? (double)l[k] : top;
  top = warp_maximum(top);
  double sum = 0;
  for (int k = lane; k < classes; k += 32) sum += exp(l[k] - top);
  sum = label >= 0 && label < classes ? warp_sum(sum) : NOT_A_NUMBER;
  for (int k = lane; k < classes; k += 32)
    dlogits[(size_t)row * classes + k] = (T)((exp(l[k] - top) / sum - (k == label)) / rows);
  if (lane == 0) losses[row] = is_finite(sum) ? log(sum) - (l[label] - top) : NOT_A_NUMBER;
}

// value = mean of the losses: one block.
template <class T>
__global__ void mean_loss(const double* __restrict__ losses, int rows, T* __restrict__ value) {
  double sum[1] = {0};
  for (int n = threadIdx.x; n < rows; n += blockDim.x) sum[0] += losses[n];
  block_sums<1>(sum);
  if (threadIdx.x == 0) value[0] = (T)(sum[0] / rows);
}
