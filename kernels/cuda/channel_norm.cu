// Normalisation per channel: x (R, C), one mean and variance for each of C channels.
//
// Batch statistics and gradients are column sums (reduce.cuh): partial sums of strips of rows, their totals, then an
// element-wise pass. In that pass a block covers blockDim.x channels and every blockDim.y-th row of a strip, and a
// thread stays in its channel, so that square root and factors are computed once a thread.
//
//        channels: threadIdx.x ->
//       +---+---+---+---+
//     y | a | b | c | d |   rows blockIdx.y blockDim.y + y; then gridDim.y blockDim.y rows further down, and so on:
//       | e | f | g | h |   thread a reads one channel all the way, with one r, one gamma, one beta
//       +---+---+---+---+
//         ...               a warp reads neighbours of a row, where there are 32 channels or more
//       +---+---+---+---+
//       | a | b | c | d |
//       | e | f | g | h |
//       +---+---+---+---+
//
//   r = 1/sqrt(var + eps)    h = (x - mean) r    z = gamma h + beta    y = f(z)
#include "common.cuh"
#include "numbers.cuh"
#include "activations.cuh"
#include "reduce.cuh"

// Subtracted from a channel before its squares are summed, so that a large mean does not eat the digits of the
// variance: the channel's first number, unless it is one that would spoil the others.
template <class T>
__device__ __forceinline__ double shift_of(const T* __restrict__ x, int column) {
  return is_finite(x[column]) ? (double)x[column] : 0.0;
}

// partial (2, strips, C): sums of d and d^2, d = x - shift.
template <class T>
__global__ void channel_moments(const T* __restrict__ x, int rows, int columns, double* __restrict__ partial) {
  const auto terms = [=](int row, int column, double* values) {
    const double d = x[(size_t)row * columns + column] - shift_of(x, column);
    values[0] += d;
    values[1] += d * d;
  };
  column_sums<2>(terms, rows, columns, partial);
}

// mean = shift + sum d/R,  var = sum d^2/R - (sum d/R)^2: a warp a channel.
template <class T>
__global__ void channel_statistics(const T* __restrict__ x, const double* __restrict__ partial, int strips, int rows,
                                   int columns, T* __restrict__ mean, T* __restrict__ var) {
  const int column = blockIdx.x * (blockDim.x / 32) + threadIdx.x / 32;
  if (column >= columns) return;  // a whole warp
  const double first = strips_total(partial, strips, columns, 0, column) / rows;
  const double second = strips_total(partial, strips, columns, 1, column) / rows - first * first;
  if (threadIdx.x % 32) return;
  mean[column] = (T)(shift_of(x, column) + first);
  var[column] = (T)(second < 0 ? 0.0 : second);  // rounding may leave less than nothing; NaN stays
}

// y = f(gamma r (x - mean) + beta); beta and mean may be null, for zero.
template <class T>
__global__ void channel_normalise(const T* __restrict__ x, const T* __restrict__ gamma, const T* __restrict__ beta,
                                  const T* __restrict__ mean, const T* __restrict__ var, double eps, int code,
                                  T parameter, int rows, int columns, T* __restrict__ y) {
  const int column = blockIdx.x * blockDim.x + threadIdx.x;
  if (column >= columns) return;
  const T scale = (T)(gamma[column] / sqrt(var[column] + eps));
  const T center = mean ? mean[column] : T(0), shift = beta ? beta[column] : T(0);
  for (long long row = blockIdx.y * blockDim.y + threadIdx.y; row < rows; row += gridDim.y * blockDim.y) {
    const size_t i = (size_t)row * columns + column;
    y[i] = activate(code, parameter, (x[i] - center) * scale + shift);
  }
}

// partial (2, strips, C): sums of dz and dz h with dz = dy f'(y). Without activation y may be null; so may mean, for 0.
template <class T>
__global__ void channel_gradient_sums(const T* __restrict__ dy, const T* __restrict__ y, int code, T parameter,
                                      const T* __restrict__ x, const T* __restrict__ mean, const T* __restrict__ var,
                                      double eps, int rows, int columns, double* __restrict__ partial) {
  const int own = blockIdx.x * blockDim.x + threadIdx.x;
  const double center = mean && own < columns ? mean[own] : 0.0, r = own < columns ? 1 / sqrt(var[own] + eps) : 0.0;
  const auto terms = [=](int row, int column, double* values) {
    const size_t i = (size_t)row * columns + column;
    const double dz = y ? dy[i] * activation_slope(code, parameter, y[i]) : dy[i];
    values[0] += dz;
    values[1] += dz * ((x[i] - center) * r);
  };
  column_sums<2>(terms, rows, columns, partial);
}

// dx = gamma r (dz - sum dz/R - h sum(dz h)/R), with the sums over the batch in totals (2, C).
template <class T>
__global__ void channel_gradient(const T* __restrict__ dy, const T* __restrict__ y, int code, T parameter,
                                 const T* __restrict__ x, const T* __restrict__ gamma, const T* __restrict__ mean,
                                 const T* __restrict__ var, double eps, const double* __restrict__ totals, int rows,
                                 int columns, T* __restrict__ dx) {
  const int column = blockIdx.x * blockDim.x + threadIdx.x;
  if (column >= columns) return;
  const double r = 1 / sqrt(var[column] + eps);
  const T center = mean[column], scale = (T)r, factor = (T)(gamma[column] * r);
  const T along_one = (T)(totals[column] / rows), along_h = (T)(totals[columns + column] / rows);
  for (long long row = blockIdx.y * blockDim.y + threadIdx.y; row < rows; row += gridDim.y * blockDim.y) {
    const size_t i = (size_t)row * columns + column;
    const T dz = y ? dy[i] * activation_slope(code, parameter, y[i]) : dy[i];
    const T h = (x[i] - center) * scale;
    dx[i] = factor * (dz - along_one - h * along_h);
  }
}
