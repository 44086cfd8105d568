// A convolution as three matrix products, whose operands nobody writes out: where their numbers lie in memory.
//
//     x (N, H, W, C)   w (KH, KW, C, O)   y (N, HO, WO, O)     y[i, j] = sum x[i sh + a - top, j sw + b - left] w[a, b]
//
//     forward      y  (N HO WO, O)   = Patches    (N HO WO, KH KW C)      w (KH KW C, O)
//     weight grad  dw (KH KW C, O)   = Patches^T  (KH KW C, N HO WO)      dy (N HO WO, O)
//     input grad   dx (N HP WP, C)   = Gradients  (N HP WP, AP BP O)      PhaseWeights^T (AP BP O, C)
//
// the last for each phase of the stride, which has HP x WP pixels and AP x BP taps (phase.cuh).
//
// Patches has a line for each window and a column for each tap and channel; a column steps through the channels of a
// pixel first, so runs of 16 bytes lie in one piece if C is a multiple of 4 (float64: 2). Beyond the border it is zero.
#pragma once
#include "panel.cuh"

// The sizes as every kernel takes them, one number each.
#define CONVOLUTION_SIZES                                                                                         \
  int n, int h, int w, int c, int kh, int kw, int o, int ho, int wo, int stride_h, int stride_w, int top, int left
#define CONVOLUTION \
  Convolution { n, h, w, c, kh, kw, o, ho, wo, stride_h, stride_w, top, left }

struct Convolution {
  int n, h, w, c, kh, kw, o, ho, wo, stride_h, stride_w, top, left;

  __device__ __forceinline__ int windows() const { return n * ho * wo; }
  __device__ __forceinline__ int patch() const { return kh * kw * c; }
};

// A number of (images, rows, columns) in row-major order, taken apart.
struct Pixel {
  int image, row, column;
};

__device__ __forceinline__ Pixel pixel(int i, int rows, int columns) {
  const int line = i / columns;
  return {line / rows, line % rows, i % columns};
}

// A column of Patches or of Gradients: a tap of the kernel and a channel; a tap of row -1 is beyond the last column.
struct Tap {
  int row, column, channel;
};

__device__ __forceinline__ Tap tap(int i, int rows, int columns, int channels) {
  const int at = i / channels, row = at / columns;
  return {row < rows ? row : -1, at % columns, i % channels};
}

// The image of a line, null beyond the last one, and where in it the line's tap (0, 0) lies.
template <typename T>
struct Corner {
  const T* image;
  int row, column;
};

// What lies under each window of x.
template <typename T>
struct Patches {
  using Number = T;
  using Line = Corner<T>;
  using Column = Tap;

  const T* numbers;
  Convolution s;

  __device__ __forceinline__ Line line(int i) const {
    const Pixel at = pixel(i, s.ho, s.wo);
    const T* const image = at.image < s.n ? numbers + (size_t)at.image * s.h * s.w * s.c : nullptr;
    return {image, at.row * s.stride_h - s.top, at.column * s.stride_w - s.left};
  }
  __device__ __forceinline__ Column column(int j) const { return tap(j, s.kh, s.kw, s.c); }
  __device__ __forceinline__ const T* find(const Line& line, const Column& at) const {
    const int row = line.row + at.row, column = line.column + at.column;
    const bool inside = line.image && at.row >= 0 && row >= 0 && row < s.h && column >= 0 && column < s.w;
    return inside ? line.image + ((size_t)row * s.w + column) * s.c + at.channel : nullptr;
  }
  __device__ __forceinline__ bool in_runs() const { return s.c % Run<T>::SIZE == 0 && ((u64)numbers & 15) == 0; }
};
