// Where the numbers of a product lie: op(a), op(b) and y, row-major and without gaps, and which of y a block computes.
#pragma once
#include "common.cuh"

// Number (row, column) of op(matrix), which has rows x columns and is stored as columns x rows if TRANSPOSED.
template <bool TRANSPOSED, typename T>
__device__ __forceinline__ T element(const T* matrix, int row, int column, int rows, int columns) {
  return matrix[TRANSPOSED ? (size_t)column * rows + row : (size_t)row * columns + column];
}

// The first row and column of the tile of y that this block computes; blocks are numbered along the rows of tiles.
struct BlockTile {
  int row, column;
};

template <int ROWS, int COLUMNS>
__device__ __forceinline__ BlockTile block_tile(int n) {
  const int across = (n + COLUMNS - 1) / COLUMNS;
  return {(int)(blockIdx.x / across) * ROWS, (int)(blockIdx.x % across) * COLUMNS};
}

// Where row r of the block's tile begins in y (m, n); null below the last row.
template <typename T>
struct MatrixRows {
  T* y;
  int first, m, n;

  __device__ __forceinline__ T* operator()(int r) const {
    return first + r < m ? y + (size_t)(first + r) * n : nullptr;
  }
};
