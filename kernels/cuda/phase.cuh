// The input gradient by phases: pixels of dx that lie a stride apart meet the same taps, and no others.
//
//     dx[h] = sum dy[i] w[a]  over all i, a with  i stride + a = h + top        (columns likewise)
//
//     stride 2, kernel 4, top 1:      h      0  1  2  3  4  5
//                                     a of   1  0  1  0  1  0       phase 0 (even h): taps 1 and 3
//                                            3  2  3  2  3  2       phase 1 (odd h):  taps 0 and 2
//
// So dx falls apart into stride_h stride_w images, each a small dense convolution of dy with every stride-th tap. The
// textbook's way, dy with zeros between its pixels under the whole kernel, multiplies by zeros all but one time in
// stride_h stride_w. A phase has no taps at all where the stride is larger than the kernel: its pixels are f(bias).
#pragma once
#include "convolution.cuh"

// One axis of a phase.
struct PhaseAxis {
  int offset;  // the phase's first pixel
  int pixels;  // how many it has, a stride apart
  int first;   // its first tap
  int taps;    // how many, a stride apart
  int shift;   // pixel p meets window p + shift through the first tap, p + shift - t through the t-th

  __device__ __forceinline__ PhaseAxis(int offset, int size, int kernel, int stride, int pad)
      : offset(offset),
        pixels((size - offset + stride - 1) / stride),
        first((offset + pad) % stride),
        taps((kernel - first + stride - 1) / stride),
        shift((offset + pad) / stride) {}
};

struct Phase {
  PhaseAxis rows, columns;

  // Phase number i of the stride_h stride_w ones.
  __device__ __forceinline__ Phase(const Convolution& s, int i)
      : rows(i / s.stride_w, s.h, s.kh, s.stride_h, s.top), columns(i % s.stride_w, s.w, s.kw, s.stride_w, s.left) {}

  __device__ __forceinline__ int pixels(const Convolution& s) const { return s.n * rows.pixels * columns.pixels; }
  __device__ __forceinline__ int steps(const Convolution& s) const { return rows.taps * columns.taps * s.o; }
};

// The windows that meet each pixel of a phase: (N HP WP, AP BP O) of dy.
template <typename T>
struct Gradients {
  using Number = T;
  using Line = Corner<T>;
  using Column = Tap;

  const T* numbers;
  Convolution s;
  Phase phase;

  __device__ __forceinline__ Line line(int i) const {
    if (i >= phase.pixels(s)) return {nullptr, 0, 0};
    const Pixel at = pixel(i, phase.rows.pixels, phase.columns.pixels);
    return {numbers + (size_t)at.image * s.ho * s.wo * s.o, at.row + phase.rows.shift, at.column + phase.columns.shift};
  }
  __device__ __forceinline__ Column column(int j) const {
    if (j >= phase.steps(s)) return {-1, 0, 0};
    return tap(j, phase.rows.taps, phase.columns.taps, s.o);
  }
  __device__ __forceinline__ const T* find(const Line& line, const Column& at) const {
    const int row = line.row - at.row, column = line.column - at.column;
    const bool inside = line.image && at.row >= 0 && row >= 0 && row < s.ho && column >= 0 && column < s.wo;
    return inside ? line.image + ((size_t)row * s.wo + column) * s.o + at.channel : nullptr;
  }
  __device__ __forceinline__ bool in_runs() const { return s.o % Run<T>::SIZE == 0 && ((u64)numbers & 15) == 0; }
};

// The taps of a phase: (C, AP BP O) of w, a line for each channel.
template <typename T>
struct PhaseWeights {
  using Number = T;
  using Line = const T*;
  using Column = long long;  // offset in w; -1 beyond the last column

  const T* numbers;
  Convolution s;
  Phase phase;

  __device__ __forceinline__ Line line(int i) const { return i < s.c ? numbers + (size_t)i * s.o : nullptr; }
  __device__ __forceinline__ Column column(int j) const {
    if (j >= phase.steps(s)) return -1;
    const Tap at = tap(j, phase.rows.taps, phase.columns.taps, s.o);
    const int row = phase.rows.first + at.row * s.stride_h, column = phase.columns.first + at.column * s.stride_w;
    return (long long)(row * s.kw + column) * s.c * s.o + at.channel;
  }
  __device__ __forceinline__ const T* find(Line line, Column at) const { return line && at >= 0 ? line + at : nullptr; }
  __device__ __forceinline__ bool in_runs() const { return s.o % Run<T>::SIZE == 0 && ((u64)numbers & 15) == 0; }
};

// Where row r of the block's tile, a pixel of the phase, begins in dx.
template <typename T>
struct PhaseRows {
  T* dx;
  Convolution s;
  Phase phase;
  int first;

  __device__ __forceinline__ T* operator()(int r) const {
    if (first + r >= phase.pixels(s)) return nullptr;
    const Pixel at = pixel(first + r, phase.rows.pixels, phase.columns.pixels);
    const int row = phase.rows.offset + at.row * s.stride_h, column = phase.columns.offset + at.column * s.stride_w;
    return dx + ((size_t)(at.image * s.h + row) * s.w + column) * s.c;
  }
};
