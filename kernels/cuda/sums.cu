// Sums over rows, over samples and over everything; clipping by norm. How they are taken: reduce.cuh.
//
//       x (R, C)
//      +--------------+
//      | block (0, 0) |  `height` rows         partial (strips, C)
//      | block (0, 1) |  the next `height`    +--------------+
//      | block (0, 0) |  and so on, in turn   |   strip 0    |  by block (0, 0)       y (C,): a warp a column, whose
//      | block (0, 1) |                       |   strip 1    |  by block (0, 1)       lanes share the strips
//      +--------------+                       +--------------+
//
// A sum over everything is that of one column. Squared norms: a block a sample, whose threads walk over it. Clipping: a
// thread a few elements, as in strided.cuh.
#include "common.cuh"
#include "numbers.cuh"
#include "strided.cuh"
#include "reduce.cuh"

// partial (1, strips, C): sums of x (R, C) over the rows of each strip.
template <class T>
__global__ void row_sums(const T* __restrict__ x, int rows, int columns, double* __restrict__ partial) {
  const auto terms = [=](int row, int column, double* values) { values[0] += x[(size_t)row * columns + column]; };
  column_sums<1>(terms, rows, columns, partial);
}

// partial (1, strips, C): the same of squares.
template <class T>
__global__ void square_sums(const T* __restrict__ x, int rows, int columns, double* __restrict__ partial) {
  const auto terms = [=](int row, int column, double* values) {
    const double value = x[(size_t)row * columns + column];
    values[0] += value * value;
  };
  column_sums<1>(terms, rows, columns, partial);
}

// The sums over all strips of one or two quantities: a warp adds a column, block row y the quantity y.
// Overwrites first and second or adds to them; writes totals (K, C) in double. Any of the three may be null.
template <class T>
__global__ void add_totals(const double* __restrict__ partial, int strips, int columns, int accumulate,
                           T* __restrict__ first, T* __restrict__ second, double* __restrict__ totals) {
  const int column = blockIdx.x * (blockDim.x / 32) + threadIdx.x / 32, k = blockIdx.y;
  if (column >= columns) return;  // a whole warp
  const double total = strips_total(partial, strips, columns, k, column);
  T* sums = k ? second : first;
  if (threadIdx.x % 32 == 0) {
    if (sums) sums[column] = (T)(accumulate ? sums[column] + total : total);
    if (totals) totals[k * columns + column] = total;
  }
}

// y[n] = sum of x[n, f]^2: a block a sample.
template <class T>
__global__ void squared_norms(const T* __restrict__ x, T* __restrict__ y, int size) {
  const T* sample = x + (size_t)blockIdx.x * size;
  double sum[1] = {0};
  for (int f = threadIdx.x; f < size; f += blockDim.x) sum[0] += (double)sample[f] * sample[f];
  block_sums<1>(sum);
  if (threadIdx.x == 0) y[blockIdx.x] = (T)sum[0];
}

// g *= limit/|g| where |g|, as a T, is finite and above the limit, with |g|^2 in `total`; thread 0 writes |g|.
template <class T>
__global__ void clip_norm(T* __restrict__ g, const double* __restrict__ total, double limit, T* __restrict__ norm,
                          long long count) {
  const double length = sqrt(total[0]);
  if (first_element() == 0) norm[0] = (T)length;
  if (!(length > limit) || !is_finite((T)length)) return;
  const double scale = limit / length;
  FOR_EACH_ELEMENT(i, count) g[i] = (T)(g[i] * scale);
}
