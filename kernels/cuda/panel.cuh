// The part of an operand that a block multiplies in one step along k, copied to shared memory as it lies in memory.
//
// A source is anything with the looks of a row-major matrix of lines and columns: a matrix, or the patches of an image,
// which nobody has written out. It says where number (line, column) lies; null stands for a zero, beyond an edge or in
// a convolution's border.
//
//     ALONG_K: lines are rows of a (or columns of b)             else: lines are steps of k
//
//              <-- DEPTH steps of k -->                                    <------ ROWS ------>
//            +--------------------------+---+                            +----------------------+---+
//     ROWS   | run | run | run | run    |pad|                     DEPTH  | run | run | run | .. |pad|
//     lines  | run | run | run | run    |   |                     lines  | run | run | run | .. |   |
//            +--------------------------+---+                            +----------------------+---+
//
// A run is 16 bytes, one copy instruction. It goes past the registers (cp.async), and the thread does not wait for it.
// A source that is not made of whole runs (an odd number of columns, three channels) is copied number by number.
//
// The padding moves each line to other banks than the one before: eight lanes that read 16 bytes of eight lines, and
// the 8 x 4 lanes that read the operands of a tensor core, then meet all 32 banks once.
#pragma once
#include "common.cuh"
#include "ptx.cuh"

// 16 bytes of numbers, loaded and stored as one.
template <typename T>
struct alignas(16) Run {
  static constexpr int SIZE = 16 / sizeof(T);
  T at[SIZE];
};

// Starts the copy of one run or of one number; a source of null gives zeros. `anywhere` is a valid address, not read.
template <typename T>
__device__ __forceinline__ void copy_run(T* to, const T* from, const T* anywhere) {
  cp_async16(to, from ? from : anywhere, from ? 16 : 0);
}

template <typename T>
__device__ __forceinline__ void copy_number(T* to, const T* from, const T* anywhere) {
  if constexpr (sizeof(T) == 8) cp_async8(to, from ? from : anywhere, from ? 8 : 0);
  else cp_async4(to, from ? from : anywhere, from ? 4 : 0);
}

// A matrix in memory. Also the model of what a source has to offer.
template <typename T>
struct Matrix {
  using Number = T;
  using Line = const T*;  // what has to be known of a line, computed once for all its numbers
  using Column = int;     // the same for a column

  const T* numbers;
  int lines, columns;

  __device__ __forceinline__ Line line(int i) const { return i < lines ? numbers + (size_t)i * columns : nullptr; }
  __device__ __forceinline__ Column column(int j) const { return j < columns ? j : -1; }
  __device__ __forceinline__ const T* find(Line line, Column j) const { return line && j >= 0 ? line + j : nullptr; }

  // Whether 16 bytes from a column that is a multiple of Run<T>::SIZE lie in one piece, at an address that allows it.
  __device__ __forceinline__ bool in_runs() const { return columns % Run<T>::SIZE == 0 && ((u64)numbers & 15) == 0; }
};

// op(matrix) of rows x columns as it is stored.
template <bool TRANSPOSED, typename T>
__device__ __forceinline__ Matrix<T> stored(const T* matrix, int rows, int columns) {
  return {matrix, TRANSPOSED ? columns : rows, TRANSPOSED ? rows : columns};
}

// Copies panels of the rows from `first` on; for the right operand read columns for rows. All threads take part.
template <class Source, int ROWS, int DEPTH_, int THREADS, bool ALONG_K_>
struct Panel {
  using Number = typename Source::Number;
  static constexpr int DEPTH = DEPTH_, V = Run<Number>::SIZE;
  static constexpr bool ALONG_K = ALONG_K_;
  static constexpr int LINES = ALONG_K ? ROWS : DEPTH, WIDTH = ALONG_K ? DEPTH : ROWS;
  // In numbers; a line is 8 more than a multiple of 32 long where it runs along the rows.
  static constexpr int STRIDE = WIDTH + (ALONG_K ? V : (40 - WIDTH % 32) % 32), SIZE = LINES * STRIDE;
  static constexpr int RUNS = WIDTH / V, LINES_AT_ONCE = THREADS / RUNS;
  static constexpr bool ALL_COPY = LINES >= LINES_AT_ONCE;  // else a panel has fewer runs than the block has threads
  static constexpr int COPIES = ALL_COPY ? LINES / LINES_AT_ONCE : 1;
  static_assert(THREADS % RUNS == 0, "a thread's runs are of one column");
  static_assert(!ALL_COPY || LINES % LINES_AT_ONCE == 0, "threads copy as many runs each");

  const Source source;
  const int line0, column0;  // of the thread's first run in a panel
  const bool in_runs;
  // What a step along k does not change is computed once, at the start.
  typename Source::Line lines[ALONG_K ? COPIES : 1];
  typename Source::Column column;
  const int first;

  __device__ __forceinline__ Panel(const Source& source, int first)
      : source(source),
        line0(threadIdx.x / RUNS),
        column0(threadIdx.x % RUNS * V),
        in_runs(source.in_runs()),
        first(first) {
    if constexpr (ALONG_K) {
#pragma unroll
      for (int i = 0; i < COPIES; i++) lines[i] = source.line(first + line0 + i * LINES_AT_ONCE);
    } else {
      column = source.column(first + column0);
    }
  }

  // Starts the copies of steps k0 .. k0 + DEPTH - 1.
  __device__ __forceinline__ void copy(Number* panel, int k0) const {
    if constexpr (!ALL_COPY)
      if (line0 >= LINES) return;
    Number* const to = panel + line0 * STRIDE + column0;
    const int first_column = (ALONG_K ? k0 : first) + column0;
    typename Source::Line from[COPIES];
#pragma unroll
    for (int i = 0; i < COPIES; i++) {
      if constexpr (ALONG_K) from[i] = lines[i];
      else from[i] = source.line(k0 + line0 + i * LINES_AT_ONCE);
    }
    if (in_runs) {
      const typename Source::Column here = ALONG_K ? source.column(first_column) : column;
#pragma unroll
      for (int i = 0; i < COPIES; i++)
        copy_run(to + i * LINES_AT_ONCE * STRIDE, source.find(from[i], here), source.numbers);
    } else {
#pragma unroll 1
      for (int e = 0; e < V; e++) {
        const typename Source::Column here = source.column(first_column + e);
#pragma unroll
        for (int i = 0; i < COPIES; i++)
          copy_number(to + i * LINES_AT_ONCE * STRIDE + e, source.find(from[i], here), source.numbers);
      }
    }
  }
};
