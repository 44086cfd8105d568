// Element-wise operations: each thread computes elements of its own, with no word to any other thread.
//
// All are bound by memory: a few operations for each 4 or 8 bytes. So each is one pass, reading every input once and
// writing every output once. Blocks have no structure beyond neighbouring elements; see strided.cuh.
#include "common.cuh"
#include "strided.cuh"
#include "activations.cuh"

// y = f(x); y may be x.
template <class T>
__global__ void activation(const T* x, T* y, long long count, int code, T parameter) {
  FOR_EACH_ELEMENT(i, count) y[i] = activate(code, parameter, x[i]);
}

// dz = dy f'(kept) + extra; extra may be null.
template <class T>
__global__ void activation_grad(const T* __restrict__ dy, const T* __restrict__ kept, const T* __restrict__ extra,
                                T* __restrict__ dz, long long count, int code, T parameter) {
  FOR_EACH_ELEMENT(i, count) {
    const T product = dy[i] * activation_slope(code, parameter, kept[i]);
    dz[i] = extra ? product + extra[i] : product;
  }
}

// extra = ddz dy f''(kept).
template <class T>
__global__ void activation_double_grad(const T* __restrict__ ddz, const T* __restrict__ dy, const T* __restrict__ kept,
                                       T* __restrict__ extra, long long count, int code, T parameter) {
  FOR_EACH_ELEMENT(i, count) extra[i] = ddz[i] * dy[i] * activation_curvature(code, parameter, kept[i]);
}

// y = a + b; both may be one array.
template <class T>
__global__ void add(const T* a, const T* b, T* __restrict__ y, long long count) {
  FOR_EACH_ELEMENT(i, count) y[i] = a[i] + b[i];
}

// y = a b, element by element.
template <class T>
__global__ void multiply(const T* a, const T* b, T* __restrict__ y, long long count) {
  FOR_EACH_ELEMENT(i, count) y[i] = a[i] * b[i];
}

// y = scale x + shift.
template <class T>
__global__ void scale_shift(const T* __restrict__ x, T scale, T shift, T* __restrict__ y, long long count) {
  FOR_EACH_ELEMENT(i, count) y[i] = scale * x[i] + shift;
}

// y += alpha x; x and y may be one array.
template <class T>
__global__ void axpy(T alpha, const T* x, T* y, long long count) {
  FOR_EACH_ELEMENT(i, count) y[i] += alpha * x[i];
}

// x = value.
template <class T>
__global__ void fill(T* __restrict__ x, T value, long long count) {
  FOR_EACH_ELEMENT(i, count) x[i] = value;
}

// x = min(max(x, low), high); comparisons with NaN are false, so NaN stays.
template <class T>
__global__ void clip(T* __restrict__ x, T low, T high, long long count) {
  FOR_EACH_ELEMENT(i, count) {
    const T value = x[i], raised = value < low ? low : value;
    x[i] = raised > high ? high : raised;
  }
}

// y[n, f] = factors[n] x[n, f], F = size of a sample.
template <class T>
__global__ void scale_samples(const T* __restrict__ x, const T* __restrict__ factors, T* __restrict__ y,
                              long long count, long long size) {
  FOR_EACH_ELEMENT(i, count) y[i] = factors[i / size] * x[i];
}
