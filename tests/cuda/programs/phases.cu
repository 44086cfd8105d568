// y (2,) = x (2,), which one thread hands to another in two phases of one mbarrier. A third one's arrival ends the first
// phase, so that the second may have begun before the reader comes to wait for the first.
#include "../../../kernels/cuda/ptx_sm90.cuh"

extern "C" __global__ void phases(const float* x, float* y) {
  __shared__ u64 barrier;
  __shared__ float values[2];
  if (threadIdx.x == 0) {
    mbarrier_init(&barrier, 2);
    values[0] = values[1] = 0;
  }
  __syncthreads();
  if (threadIdx.x == 0) {
    values[0] = x[0];
    mbarrier_arrive(&barrier);
    mbarrier_wait(&barrier, 0);
    values[1] = x[1];
    mbarrier_arrive(&barrier);
  }
  if (threadIdx.x == 32) mbarrier_arrive(&barrier);
  if (threadIdx.x == 64) {
    mbarrier_wait(&barrier, 0);
    y[0] = values[0];
    mbarrier_arrive(&barrier);
    mbarrier_wait(&barrier, 1);
    y[1] = values[1];
  }
}
