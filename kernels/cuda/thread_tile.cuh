// A tile of y in the registers of each thread, multiplied out of panels in shared memory 16 bytes at a time.
//
//     DOWN x ACROSS threads share a part of the block's tile. Thread (r, c) owns ROWS x COLUMNS sums of it. Its rows
//     lie DOWN apart where a's lines run along k, and in groups of neighbours where they run along the rows. Either way
//     all of a load of 16 bytes is of use, and neighbouring threads read from different banks:
//
//         ALONG_K: a run is V steps of one row                else: a run is V rows of one step
//
//             k k k k                                             k: r0 r0 r0 r0 r1 r1 r1 r1 ...
//         r0: . . . .   row 0
//         r1: . . . .   row 1                                     (V = 4 of float32, 2 of float64)
//         r0: . . . .   row DOWN
//
// For V steps of k: ROWS + COLUMNS loads for V ROWS COLUMNS multiply-adds; 16 for 256 with a tile of 8 x 8.
#pragma once
#include "panel.cuh"

template <class A, class B, int DOWN, int ACROSS, int ROWS_, int COLUMNS_>
struct ThreadTile {
  using T = typename A::Number;
  static constexpr int ROWS = ROWS_, COLUMNS = COLUMNS_, V = Run<T>::SIZE;
  static_assert(ROWS % V == 0 && COLUMNS % V == 0 && A::DEPTH % V == 0, "whole runs");

  const int first_row, first_column;  // of the part, in the block's tile
  const int r, c;                     // which thread of the part
  T sums[ROWS][COLUMNS];

  __device__ __forceinline__ ThreadTile(int first_row, int first_column, int r, int c)
      : first_row(first_row), first_column(first_column), r(r), c(c), sums{} {}

  // Place in the part of the i-th number of thread t of THREADS.
  template <bool ALONG_K, int THREADS>
  static __device__ __forceinline__ int place(int t, int i) {
    return ALONG_K ? t + i * THREADS : i / V * V * THREADS + t * V + i % V;
  }
  __device__ __forceinline__ int row(int i) const { return first_row + place<A::ALONG_K, DOWN>(r, i); }
  __device__ __forceinline__ int column(int j) const { return first_column + place<B::ALONG_K, ACROSS>(c, j); }
  __device__ __forceinline__ T sum(int i, int j) const { return sums[i][j]; }

  // The factors of V steps from k on, out of a panel: into[v][i] for number i of thread t.
  template <class P, int THREADS, int COUNT>
  static __device__ __forceinline__ void load(const T* panel, int k, int first, int t, T (&into)[V][COUNT]) {
#pragma unroll
    for (int v = 0; v < V; v++) {
#pragma unroll
      for (int i = v; i < COUNT; i += V) {  // COUNT runs in all, COUNT / V of them for each v
        const int line = P::ALONG_K ? first + place<true, THREADS>(t, i) : k + v;
        const int start = P::ALONG_K ? k : first + place<false, THREADS>(t, i - v);
        const Run<T> run = *reinterpret_cast<const Run<T>*>(panel + line * P::STRIDE + start);
#pragma unroll
        for (int e = 0; e < V; e++) {
          if constexpr (P::ALONG_K) into[e][i] = run.at[e];
          else into[v][i - v + e] = run.at[e];
        }
      }
    }
  }

  __device__ __forceinline__ void multiply(const T* a, const T* b) {
    // V steps are enough to schedule. A whole panel would be loaded ahead, into registers that are not there.
#pragma unroll 1
    for (int k = 0; k < A::DEPTH; k += V) {
      T from_a[V][ROWS], from_b[V][COLUMNS];
      load<A, DOWN>(a, k, first_row, r, from_a);
      load<B, ACROSS>(b, k, first_column, c, from_b);
#pragma unroll
      for (int v = 0; v < V; v++)
#pragma unroll
        for (int i = 0; i < ROWS; i++)
#pragma unroll
          for (int j = 0; j < COLUMNS; j++) sums[i][j] += from_a[v][i] * from_b[v][j];
    }
  }
};
