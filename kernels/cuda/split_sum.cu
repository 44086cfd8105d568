// The sums of parts of k, added up: y = f(parts[0] + parts[1] + ... + bias), or y += parts[0] + parts[1] + ...
//
//      parts (count, m n)
//      +--------------------+
//      | . . # . . .        |  0        A thread takes one number of y and walks down its column, from part 0 on:
//      | . . # . . .        |  1        the order is fixed, so the bits are the same in every run. Atomic additions
//      | . . # . . .        |  2        would come in the order in which blocks happen to finish.
//      +--------------------+
//            v                          Warp: 32 neighbours of each part, one request of 128 bytes. Block: 256 threads.
//        y | # |                        Bytes: (count + 1) m n numbers, for count m n FLOPs: bound by memory.
//
#include "epilogue.cuh"

template <typename T>
__global__ void __launch_bounds__(256)
split_sum(const T* __restrict__ parts, const T* __restrict__ bias, T* __restrict__ y, int count, int m, int n,
          int activation, T parameter, int accumulate) {
  const size_t i = (size_t)blockIdx.x * blockDim.x + threadIdx.x, size = (size_t)m * n;
  if (i >= size) return;
  T sum = 0;
  for (int part = 0; part < count; part++) sum += parts[part * size + i];
  const Epilogue<T> epilogue(bias, activation, parameter, accumulate);
  epilogue.deliver(y + i, sum, (int)(i % n));
}
