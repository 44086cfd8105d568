// Matrix product, rung 2: the lanes of a warp along memory. One line differs from rung 1.
//
//                 b
//               +-------+              Neighbouring threads take neighbouring columns of one row of y: lanes
//               |-------|              0 .. 31 read 32 neighbours of b (-----), write 32 neighbours of y, and
//               |-------|              share one number of a.
//               +-------+
//        a          y                  Thread: 2 k FLOPs and 2 k loads, as before.
//      +-----+  +-------+              Warp, in a step of k: b is one request of 128 bytes, all of them
//      |-----|  |#0#1#2 |              wanted, and a one of 32: 160 bytes in place of 1056 for the same work.
//      |     |  |       |
//      +-----+  +-------+              With b transposed the roles are exchanged once more, and this rung is
//                                      as slow as the first: an order of threads cannot suit both operands.
//
// Block: 256 threads, numbered along the rows of y. No shared memory, no barrier.
#include "epilogue.cuh"
#include "matrix.cuh"

template <typename T, bool TRANS_A, bool TRANS_B>
__global__ void __launch_bounds__(256)
gemm_coalesced(const T* __restrict__ a, const T* __restrict__ b, const T* __restrict__ bias, T* __restrict__ y, int m,
               int k, int n, int activation, T parameter, int accumulate) {
  const size_t i = (size_t)blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= (size_t)m * n) return;
  const int row = (int)(i / n), column = (int)(i % n);
  T sum = 0;
  for (int p = 0; p < k; p++) sum += element<TRANS_A>(a, row, p, m, k) * element<TRANS_B>(b, p, column, k, n);
  const Epilogue<T> epilogue(bias, activation, parameter, accumulate);
  epilogue.deliver(y + i, sum, column);
}
