// The three convolutions, rung 1: the definition. One thread computes one number of the result.
//
//     x (N, H, W, C)   w (KH, KW, C, O)   y (N, HO, WO, O)
//
//        x                           w                  y
//       +---------------+        +-------+        +-----------+      A window of KH x KW pixels, C numbers each, times
//       |   +-----+     |        |       |        |           |      as many numbers of w: one number of y.
//       |   |     |     |   *    |       |   =    |    #      |
//       |   +-----+     |        +-------+        |           |      Neighbouring threads take neighbouring filters:
//       |               |                         +-----------+      they share the pixels and read w along memory.
//       +---------------+
//
// Thread: 2 KH KW C FLOPs of the forward product and as many loads. Warp: 32 filters of one window, if it has so many.
// Block: 256 threads. No shared memory: what neighbouring windows share is read again for each.
#include "convolution.cuh"
#include "epilogue.cuh"

// y[n, i, j, o] = f(sum x[n, i sh + a - top, j sw + b - left, c] w[a, b, c, o] + bias[o])
template <typename T>
__global__ void __launch_bounds__(256)
conv2d_naive(const T* __restrict__ x, const T* __restrict__ weights, const T* __restrict__ bias, T* __restrict__ y,
             CONVOLUTION_SIZES, int activation, T parameter, int accumulate) {
  const Convolution s = CONVOLUTION;
  const size_t i = (size_t)blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= (size_t)s.windows() * o) return;
  const int filter = (int)(i % o);
  const Pixel at = pixel((int)(i / o), ho, wo);
  T sum = 0;
  for (int a = 0; a < kh; a++)
    for (int b = 0; b < kw; b++) {
      const int row = at.row * stride_h + a - top, column = at.column * stride_w + b - left;
      if (row < 0 || row >= h || column < 0 || column >= w) continue;
      const T* const from_x = x + ((size_t)(at.image * h + row) * w + column) * c;
      const T* const from_w = weights + (size_t)(a * kw + b) * c * o + filter;
      for (int channel = 0; channel < c; channel++) sum += from_x[channel] * from_w[(size_t)channel * o];
    }
  const Epilogue<T> epilogue(bias, activation, parameter, accumulate);
  epilogue.deliver(y + i, sum, filter);
}

// dx[n, h, w, c] = f(sum dy[n, i, j, o] w[a, b, c, o] + bias[c]) over all windows and taps that meet at (h, w)
template <typename T>
__global__ void __launch_bounds__(256)
conv2d_input_grad_naive(const T* __restrict__ dy, const T* __restrict__ weights, const T* __restrict__ bias,
                        T* __restrict__ dx, CONVOLUTION_SIZES, int activation, T parameter, int accumulate) {
  const size_t i = (size_t)blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= (size_t)n * h * w * c) return;
  const int channel = (int)(i % c);
  const Pixel at = pixel((int)(i / c), h, w);
  T sum = 0;
  for (int a = 0; a < kh; a++)
    for (int b = 0; b < kw; b++) {
      const int down = at.row + top - a, right = at.column + left - b;  // of the window's corner, in the padded image
      if (down < 0 || right < 0 || down % stride_h || right % stride_w) continue;
      const int row = down / stride_h, column = right / stride_w;
      if (row >= ho || column >= wo) continue;
      const T* const from_dy = dy + ((size_t)(at.image * ho + row) * wo + column) * o;
      const T* const from_w = weights + ((size_t)(a * kw + b) * c + channel) * o;
      for (int filter = 0; filter < o; filter++) sum += from_dy[filter] * from_w[filter];
    }
  const Epilogue<T> epilogue(bias, activation, parameter, accumulate);
  epilogue.deliver(dx + i, sum, channel);
}

// dw[a, b, c, o] (+)= sum x[n, i sh + a - top, j sw + b - left, c] dy[n, i, j, o] over all windows
template <typename T>
__global__ void __launch_bounds__(256)
conv2d_weight_grad_naive(const T* __restrict__ x, const T* __restrict__ dy, const T* __restrict__ bias,
                         T* __restrict__ dw, CONVOLUTION_SIZES, int activation, T parameter, int accumulate) {
  const Convolution s = CONVOLUTION;
  const size_t i = (size_t)blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= (size_t)s.patch() * o) return;
  const int filter = (int)(i % o);
  const Tap at = tap((int)(i / o), kh, kw, c);
  T sum = 0;
  for (int image = 0; image < n; image++)
    for (int window_row = 0; window_row < ho; window_row++)
      for (int window_column = 0; window_column < wo; window_column++) {
        const int row = window_row * stride_h + at.row - top, column = window_column * stride_w + at.column - left;
        if (row < 0 || row >= h || column < 0 || column >= w) continue;
        sum += x[((size_t)(image * h + row) * w + column) * c + at.channel] *
               dy[((size_t)(image * ho + window_row) * wo + window_column) * o + filter];
      }
  const Epilogue<T> epilogue(bias, activation, parameter, accumulate);
  epilogue.deliver(dw + i, sum, filter);
}
