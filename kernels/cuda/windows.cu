// Pooling and upsampling, NHWC: each thread computes elements of the result, reading what they depend on.
//
// The adjoints do not scatter: a thread owns a pixel and gathers from the windows that hold it, so nothing is added by
// two threads and the sum has one order. Neighbouring threads have neighbouring channels, so loads are coalesced.
// An image is height x width pixels of `channels` numbers; `rows` x `columns` windows of kernel_h x kernel_w pixels lie
// over it, one every stride_h x stride_w pixels. x (N, H, W, C), y (N, rows, columns, C); `count` elements are written.
// Upsampling is pooling turned round: window_sum with windows that do not overlap is its adjoint.
//
//       windows of 3 x 3 pixels every 2           forward: the thread of window A reads its 9 pixels
//       +---+---+---+---+---+
//       | A | A | AB| B | B |                     backward: the thread of pixel * reads the 4 windows that hold it,
//       | A | A | AB| B | B |                     and writes once
//       | AC| AC| * | BD| BD|
//       | C | C | CD| D | D |                     warp: 32 neighbouring channels, then the pixel to the right
//       | C | C | CD| D | D |
//       +---+---+---+---+---+
#include "common.cuh"
#include "numbers.cuh"
#include "strided.cuh"

// Where element i of an array (N, height, width, channels) lies.
struct Place {
  long long n;
  int row, column, channel;
  __device__ Place(long long i, int height, int width, int channels) {
    channel = i % channels, i /= channels;
    column = i % width, i /= width;
    row = i % height, n = i / height;
  }
};

__device__ __forceinline__ long long offset(const Place& at, int row, int column, int height, int width, int channels) {
  return ((at.n * height + row) * width + column) * channels + at.channel;
}

// First and last window along an axis that hold pixel `at`.
__device__ __forceinline__ int first_window(int at, int kernel, int stride) {
  return at < kernel ? 0 : (at - kernel) / stride + 1;
}
__device__ __forceinline__ int last_window(int at, int stride, int windows) {
  const int last = at / stride;
  return last < windows ? last : windows - 1;
}

// y = sum of the window/divisor.
template <class T>
__global__ void window_sum(const T* __restrict__ x, T* __restrict__ y, long long count, T divisor,
                           int height, int width, int kernel_h, int kernel_w, int stride_h, int stride_w, int rows,
                           int columns, int channels) {
  FOR_EACH_ELEMENT(i, count) {
    const Place at(i, rows, columns, channels);
    T sum = 0;
    for (int a = 0; a < kernel_h; a++)
      for (int b = 0; b < kernel_w; b++)
        sum += x[offset(at, at.row * stride_h + a, at.column * stride_w + b, height, width, channels)];
    y[i] = sum / divisor;
  }
}

// dx = sum of dy over the windows that hold the pixel, /divisor: the adjoint of window_sum.
template <class T>
__global__ void window_spread(const T* __restrict__ dy, T* __restrict__ dx, long long count, T divisor,
                              int height, int width, int kernel_h, int kernel_w, int stride_h, int stride_w, int rows,
                              int columns, int channels) {
  FOR_EACH_ELEMENT(i, count) {
    const Place at(i, height, width, channels);
    const int last_row = last_window(at.row, stride_h, rows);
    const int last_column = last_window(at.column, stride_w, columns);
    T sum = 0;
    for (int p = first_window(at.row, kernel_h, stride_h); p <= last_row; p++)
      for (int q = first_window(at.column, kernel_w, stride_w); q <= last_column; q++)
        sum += dy[offset(at, p, q, rows, columns, channels)];
    dx[i] = sum / divisor;
  }
}

// y = maximum of the window, index = a*KW + b of the first entry that attains it; a NaN wins.
template <class T>
__global__ void window_max(const T* __restrict__ x, T* __restrict__ y, int* __restrict__ index, long long count,
                           int height, int width, int kernel_h, int kernel_w, int stride_h, int stride_w, int rows,
                           int columns, int channels) {
  FOR_EACH_ELEMENT(i, count) {
    const Place at(i, rows, columns, channels);
    const int top = at.row * stride_h, left = at.column * stride_w;
    T best = x[offset(at, top, left, height, width, channels)];
    int chosen = 0;
    for (int k = 1; k < kernel_h * kernel_w; k++) {
      const T value = x[offset(at, top + k / kernel_w, left + k % kernel_w, height, width, channels)];
      if (value > best) chosen = k;
      if (value > best || value != value) best = value;
    }
    y[i] = best;
    index[i] = chosen;
  }
}

// y = x where the maximum stood.
template <class T>
__global__ void window_pick(const T* __restrict__ x, const int* __restrict__ index, T* __restrict__ y, long long count,
                            int height, int width, int kernel_h, int kernel_w, int stride_h, int stride_w, int rows,
                            int columns, int channels) {
  FOR_EACH_ELEMENT(i, count) {
    const Place at(i, rows, columns, channels);
    const int row = at.row * stride_h + index[i] / kernel_w, column = at.column * stride_w + index[i] % kernel_w;
    y[i] = x[offset(at, row, column, height, width, channels)];
  }
}

// dx = sum of dy over the windows whose maximum stood here: the adjoint of window_pick.
template <class T>
__global__ void window_pick_adjoint(const T* __restrict__ dy, const int* __restrict__ index, T* __restrict__ dx,
                                    long long count, int height, int width, int kernel_h, int kernel_w,
                                    int stride_h, int stride_w, int rows, int columns, int channels) {
  FOR_EACH_ELEMENT(i, count) {
    const Place at(i, height, width, channels);
    const int last_row = last_window(at.row, stride_h, rows);
    const int last_column = last_window(at.column, stride_w, columns);
    T sum = 0;
    for (int p = first_window(at.row, kernel_h, stride_h); p <= last_row; p++)
      for (int q = first_window(at.column, kernel_w, stride_w); q <= last_column; q++) {
        const long long j = offset(at, p, q, rows, columns, channels);
        const int entry = (at.row - p * stride_h) * kernel_w + at.column - q * stride_w;
        if (index[j] == entry) sum += dy[j];
      }
    dx[i] = sum;
  }
}
