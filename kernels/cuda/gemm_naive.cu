// Matrix product, rung 1: the definition. One thread computes one number of y.
//
//     y (m, n) = f(op(a) (m, k)  op(b) (k, n) + bias)         2 m n k FLOPs
//
//                 b                    Neighbouring threads take neighbouring rows of one column of y:
//               +-|-----+              lanes 0 .. 31 of a warp read 32 rows of a (|||), each at its own
//               | |     |              address k numbers apart, and one and the same number of b.
//               | |     |
//               +-|-----+              Thread: 2 k FLOPs; loads 2 k numbers, that is 8 k bytes of float32:
//        a        |       y            one byte for every quarter of a FLOP.
//      +-----+  +-|-----+              Warp, in a step of k: 32 addresses in 32 different segments of 32
//      | ||| |  | #0    |              bytes. 1024 bytes move, 128 of them wanted.
//      | ||| |  | #1    |
//      | ||| |  | #2    |
//      +-----+  +-------+
//
// Block: 256 threads, numbered down the columns of y. No shared memory, no barrier.
#include "epilogue.cuh"
#include "matrix.cuh"

template <typename T, bool TRANS_A, bool TRANS_B>
__global__ void __launch_bounds__(256)
gemm_naive(const T* __restrict__ a, const T* __restrict__ b, const T* __restrict__ bias, T* __restrict__ y, int m,
           int k, int n, int activation, T parameter, int accumulate) {
  const size_t i = (size_t)blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= (size_t)m * n) return;
  const int row = (int)(i % m), column = (int)(i / m);
  T sum = 0;
  for (int p = 0; p < k; p++) sum += element<TRANS_A>(a, row, p, m, k) * element<TRANS_B>(b, p, column, k, n);
  const Epilogue<T> epilogue(bias, activation, parameter, accumulate);
  epilogue.deliver(y + (size_t)row * n + column, sum, column);
}
