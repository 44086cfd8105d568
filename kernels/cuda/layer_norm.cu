// Normalisation per sample: x (N, F), F = all numbers of a sample, one gain gamma[f % C] for each of C channels.
//
// A block has one sample: its threads walk over the sample to add up what they need, the block adds the sums
// (block_sums in reduce.cuh), and they walk over it once more to write. The second walk finds the sample in the cache.
// Sums over the batch, for gamma and beta, are column sums over all positions (N F/C, C).
//
//              <----------- F: positions x channels ----------->
//             +----+----+----+-------+----+----+----+-----------+
//     block n | t0 | t1 | .. | t255  | t0 | t1 | .. |           |  sample n      warp: 32 neighbours, one request
//             +----+----+----+-------+----+----+----+-----------+
//               a sum of each thread -> of each warp -> of the block, which every thread then knows
//
//   r = 1/sqrt(var + eps)    h = (x - mean) r    z = gamma h + beta    y = f(z)
//   P u = u - mean(u) - h mean(u h),  means over the sample: what normalisation lets through
#include "common.cuh"
#include "numbers.cuh"
#include "activations.cuh"
#include "reduce.cuh"

// y = f(gamma h + beta) and the statistics. The mean comes first: the variance is then free of cancellation.
template <class T>
__global__ void layer_norm(const T* __restrict__ x, const T* __restrict__ gamma, const T* __restrict__ beta,
                           double eps, int code, T parameter, int size, int channels, T* __restrict__ y,
                           T* __restrict__ mean, T* __restrict__ var) {
  const size_t start = (size_t)blockIdx.x * size;
  double sum[1] = {0};
  for (int f = threadIdx.x; f < size; f += blockDim.x) sum[0] += x[start + f];
  block_sums<1>(sum);
  const double center = sum[0] / size;
  sum[0] = 0;
  for (int f = threadIdx.x; f < size; f += blockDim.x) {
    const double d = x[start + f] - center;
    sum[0] += d * d;
  }
  block_sums<1>(sum);
  const double spread = sum[0] / size, r = 1 / sqrt(spread + eps);
  for (int f = threadIdx.x; f < size; f += blockDim.x) {
    const T h = (T)((x[start + f] - center) * r);
    y[start + f] = activate(code, parameter, h * gamma[f % channels] + beta[f % channels]);
  }
  if (threadIdx.x == 0) {
    mean[blockIdx.x] = (T)center;
    var[blockIdx.x] = (T)spread;
  }
}

// dx = r P dh, dh = gamma dz.
template <class T>
__global__ void layer_gradient(const T* __restrict__ dz, const T* __restrict__ x, const T* __restrict__ gamma,
                               const T* __restrict__ mean, const T* __restrict__ var, double eps, int size,
                               int channels, T* __restrict__ dx) {
  const size_t start = (size_t)blockIdx.x * size;
  const double center = mean[blockIdx.x], r = 1 / sqrt(var[blockIdx.x] + eps);
  double sums[2] = {0, 0};
  for (int f = threadIdx.x; f < size; f += blockDim.x) {
    const double dh = (double)gamma[f % channels] * dz[start + f], h = (x[start + f] - center) * r;
    sums[0] += dh;
    sums[1] += dh * h;
  }
  block_sums<2>(sums);
  for (int f = threadIdx.x; f < size; f += blockDim.x) {
    const double dh = (double)gamma[f % channels] * dz[start + f], h = (x[start + f] - center) * r;
    dx[start + f] = (T)(r * (dh - sums[0] / size - h * (sums[1] / size)));
  }
}

// partial (2, strips, C): sums of dz and dz h over all positions; `positions` of a sample share its statistics.
template <class T>
__global__ void layer_weight_sums(const T* __restrict__ dz, const T* __restrict__ x, const T* __restrict__ mean,
                                  const T* __restrict__ var, double eps, int positions, int rows, int channels,
                                  double* __restrict__ partial) {
  const auto terms = [=](int row, int channel, double* values) {
    const size_t i = (size_t)row * channels + channel;
    const int sample = row / positions;
    values[0] += dz[i];
    values[1] += dz[i] * (((double)x[i] - mean[sample]) / sqrt(var[sample] + eps));
  };
  column_sums<2>(terms, rows, channels, partial);
}

// The derivatives of s = <v, r P dh>, v = ddx, dh = gamma dz, in dz and in x (kernels/reference/norms.py derives them):
//
//   ddz = gamma r P v                 extra = r P(q) - (ds/dr) r^2 h/F,   q = -r (v mean(dh h) + dh mean(v h))
//   ds/dr = sum of v P dh             means (N, 2): mean(v) and mean(v h), for layer_gain_sums
//
// All that couples the numbers of a sample follows from five sums, so two walks are enough.
template <class T>
__global__ void layer_double_gradient(const T* __restrict__ ddx, const T* __restrict__ dz, const T* __restrict__ x,
                                      const T* __restrict__ gamma, const T* __restrict__ mean,
                                      const T* __restrict__ var, double eps, int size, int channels,
                                      T* __restrict__ ddz, T* __restrict__ extra, double* __restrict__ means) {
  const size_t start = (size_t)blockIdx.x * size;
  const double center = mean[blockIdx.x], r = 1 / sqrt(var[blockIdx.x] + eps);
  double sums[5] = {0, 0, 0, 0, 0};
  for (int f = threadIdx.x; f < size; f += blockDim.x) {
    const double v = ddx[start + f], dh = (double)gamma[f % channels] * dz[start + f];
    const double h = (x[start + f] - center) * r;
    sums[0] += v;
    sums[1] += v * h;
    sums[2] += dh;
    sums[3] += dh * h;
    sums[4] += v * dh;
  }
  block_sums<5>(sums);
  const double v_mean = sums[0] / size, vh_mean = sums[1] / size, dh_mean = sums[2] / size, dhh_mean = sums[3] / size;
  const double ds_dr = sums[4] - dh_mean * sums[0] - dhh_mean * sums[1];
  const double q_mean = -r * (v_mean * dhh_mean + dh_mean * vh_mean), qh_mean = -2 * r * vh_mean * dhh_mean;
  for (int f = threadIdx.x; f < size; f += blockDim.x) {
    const double v = ddx[start + f], gain = gamma[f % channels], dh = gain * dz[start + f];
    const double h = (x[start + f] - center) * r, q = -r * (v * dhh_mean + dh * vh_mean);
    ddz[start + f] = (T)(gain * r * (v - v_mean - h * vh_mean));
    extra[start + f] = (T)(r * (q - q_mean - h * qh_mean) - ds_dr * r * r * h / size);
  }
  if (threadIdx.x == 0) {
    means[2 * blockIdx.x] = v_mean;
    means[2 * blockIdx.x + 1] = vh_mean;
  }
}

// partial (1, strips, C): sums of dz r P v over all positions, the derivative of s in gamma.
template <class T>
__global__ void layer_gain_sums(const T* __restrict__ ddx, const T* __restrict__ dz, const T* __restrict__ x,
                                const T* __restrict__ mean, const T* __restrict__ var, double eps,
                                const double* __restrict__ means, int positions, int rows, int channels,
                                double* __restrict__ partial) {
  const auto terms = [=](int row, int channel, double* values) {
    const size_t i = (size_t)row * channels + channel;
    const int sample = row / positions;
    const double r = 1 / sqrt(var[sample] + eps), h = ((double)x[i] - mean[sample]) * r;
    values[0] += dz[i] * r * (ddx[i] - means[2 * sample] - h * means[2 * sample + 1]);
  };
  column_sums<1>(terms, rows, channels, partial);
}
