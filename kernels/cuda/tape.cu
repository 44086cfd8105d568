// Numbers for launches to come: a graph that takes a row of a tape finds others each time it is launched.
#include "common.cuh"

// row = the tape's next row, and on. tape = {number of the next row, the rows}; one block, whose threads share the copy.
__global__ void next_row(u64* __restrict__ tape, u64* __restrict__ row, int width) {
  const u64* from = tape + 1 + tape[0] * width;
  for (int i = threadIdx.x; i < width; i += blockDim.x) row[i] = from[i];
  __syncthreads();  // everybody has read which row it is
  if (threadIdx.x == 0) tape[0]++;
}
