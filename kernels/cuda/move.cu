// Moving data: joining, cutting, looking up rows and adding them back. One element of the result a thread.
#include "common.cuh"
#include "numbers.cuh"
#include "strided.cuh"

// Copy `rows` runs of `width` numbers each, from runs that lie `from_pitch` apart to runs that lie `to_pitch` apart.
// Joining arrays along an axis is one such copy for each of them, and so is cutting one up.
template <class T>
__global__ void copy_runs(const T* __restrict__ from, long long from_pitch, T* __restrict__ to, long long to_pitch,
                          long long rows, long long width) {
  FOR_EACH_ELEMENT(i, rows * width) {
    const long long row = i / width, column = i - row * width;
    to[row * to_pitch + column] = from[row * from_pitch + column];
  }
}

// y[n, f] = w[index[n], f] for a table of `table_rows`; a row that does not exist is NaN, which stops the optimizers.
template <class T, class Index>
__global__ void gather_rows(const T* __restrict__ w, int table_rows, const Index* __restrict__ index,
                            T* __restrict__ y, long long count, int width) {
  FOR_EACH_ELEMENT(i, count) {
    const long long n = i / width, row = index[n];
    y[i] = row >= 0 && row < table_rows ? w[row * width + (i - n * width)] : T(NOT_A_NUMBER);
  }
}

// A number of a sample as the data set keeps it and as the networks take it: bytes are pixels.
template <class T>
__device__ __forceinline__ T of_sample(T x) {
  return x;
}
template <class T>
__device__ __forceinline__ T of_sample(unsigned char pixel) {
  return (T)pixel / (T)127.5 - (T)1;
}

// In place of a sample that does not exist: NaN, and a label that no operation takes for one.
__device__ __forceinline__ void no_sample(float& x) { x = NOT_A_NUMBER; }
__device__ __forceinline__ void no_sample(double& x) { x = NOT_A_NUMBER; }
__device__ __forceinline__ void no_sample(long long& label) { label = -1; }

// y[n, f] = data[index[n], f] for `rows` samples of `width` numbers.
template <class T, class Kept>
__global__ void gather_samples(const Kept* __restrict__ data, long long rows, const long long* __restrict__ index,
                               T* __restrict__ y, long long count, long long width) {
  FOR_EACH_ELEMENT(i, count) {
    const long long n = i / width, row = index[n];
    if (row >= 0 && row < rows)
      y[i] = of_sample<T>(data[row * width + (i - n * width)]);
    else
      no_sample(y[i]);
  }
}

// dw[index[n], f] += dy[n, f]. A thread owns an element of dw and walks the batch in order, so the sum is the same
// in every run; atomic additions would not be. Reads N labels an element: right for tables of few rows, as labels are.
template <class T, class Index>
__global__ void scatter_add_rows(T* __restrict__ dw, const Index* __restrict__ index, const T* __restrict__ dy,
                                 long long count, int batch, int width) {
  FOR_EACH_ELEMENT(i, count) {
    const long long row = i / width, column = i - row * width;
    T sum = dw[i];
    for (long long n = 0; n < batch; n++)
      if (index[n] == row) sum += dy[n * width + column];
    dw[i] = sum;
  }
}
