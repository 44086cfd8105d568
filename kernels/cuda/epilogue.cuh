// What happens to a finished sum on its way to y: bias and activation, or the addition to what y held before.
//
//     y = f(sum + bias)        or        y += sum
//
// A function made of straight lines (identity, ReLU, leaky ReLU) is a comparison and a multiplication: it is applied in
// registers. A curve (tanh, sigmoid ...) is tens of instructions, and for a tile of 8 x 8 sums a thread would hold 64
// copies of them, more than the instruction cache. So a thread places its sums first and then goes over them again in a
// loop that is not unrolled. They are its own numbers and still in a cache: no barrier, no traffic to memory.
#pragma once
#include "activations.cuh"
#include "common.cuh"

// f of a number, where f is curved. Called and not inlined: one copy serves all kernels of a file.
template <typename T>
__device__ __noinline__ T curved(int code, T parameter, T z) {
  return activate(code, parameter, z);
}

template <typename T>
struct Epilogue {
  const T* bias;  // (n,), or null
  T slope;        // of f below zero, as far as f is made of straight lines: 1 for the identity and for curves
  int curve;      // code of f if it is curved, else IDENTITY
  T parameter;
  bool accumulate;  // takes neither bias nor activation

  __device__ __forceinline__ Epilogue(const T* bias, int activation, T parameter, int accumulate)
      : bias(bias),
        slope(activation == RELU || activation == LEAKY_RELU ? parameter : T(1)),
        curve(activation > LEAKY_RELU ? activation : IDENTITY),
        parameter(parameter),
        accumulate(accumulate) {}

  // NaN stays NaN, and ReLU of minus infinity is 0.
  __device__ __forceinline__ T straight(T z) const { return z < 0 ? (slope == 0 ? T(0) : slope * z) : z; }

  // One sum, of column `column`, to its place.
  __device__ __forceinline__ void deliver(T* y, T sum, int column) const {
    const T z = straight(bias ? sum + bias[column] : sum);
    if (accumulate) *y += z;
    else *y = curve ? curved(curve, parameter, z) : z;
  }

  // The sums of a thread to their places. A tile knows the row and the column of each of its sums within the block's
  // tile; `row_of` says where such a row begins in y, null if y has no such row; y has n columns.
  template <class Tile, class RowOf>
  __device__ __forceinline__ void deliver_tile(const Tile& tile, RowOf row_of, int first_column, int n) const {
    T shift[Tile::COLUMNS];
#pragma unroll
    for (int j = 0; j < Tile::COLUMNS; j++) {
      const int column = first_column + tile.column(j);
      shift[j] = bias && column < n ? bias[column] : T(0);
    }
#pragma unroll
    for (int i = 0; i < Tile::ROWS; i++) {
      T* const y = row_of(tile.row(i));
      if (!y) continue;
#pragma unroll
      for (int j = 0; j < Tile::COLUMNS; j++) {
        const int column = first_column + tile.column(j);
        if (column >= n) continue;
        const T z = straight(tile.sum(i, j) + shift[j]);
        y[column] = accumulate ? y[column] + z : z;
      }
    }
    if (!curve) return;
#pragma unroll 1
    for (int i = 0; i < Tile::ROWS; i++) {
      T* const y = row_of(tile.row(i));
      if (!y) continue;
#pragma unroll 1
      for (int j = 0; j < Tile::COLUMNS; j++) {
        const int column = first_column + tile.column(j);
        if (column < n) y[column] = curved(curve, parameter, y[column]);
      }
    }
  }
};
