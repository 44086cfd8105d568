// The loop along k: while the panels of one step are multiplied, those of the next ones are on their way.
//
//     STAGES pairs of panels lie in shared memory, used in turn (here three):
//
//       step        0          1          2          3
//       stage 0   multiply A   copy D     .          multiply D
//       stage 1   (B comes)    multiply B copy E     .
//       stage 2   (C comes)    .          multiply C copy F
//
// One barrier a step is enough. It tells two things at once: the copies that every thread has waited for are there for
// all, and all have finished with the stage that is filled next, since they multiplied out of it the step before.
#pragma once
#include "ptx.cuh"

template <int STAGES, class A, class B>
constexpr int SHARED_NUMBERS = STAGES * (A::SIZE + B::SIZE);

// tile += a b over k = first .. last - 1. The sources give zeros beyond the last step; `shared` has SHARED_NUMBERS.
template <int STAGES, class A, class B, class Tile, typename T>
__device__ __forceinline__ void multiply_panels(const A& a, const B& b, T* shared, int first, int last, Tile& tile) {
  static_assert(A::DEPTH == B::DEPTH, "both panels span the same steps");
  const int steps = (last - first + A::DEPTH - 1) / A::DEPTH;
  auto stage = [&](int step) { return shared + step % STAGES * (A::SIZE + B::SIZE); };
  auto fetch = [&](int step) {
    if (step < steps) {
      a.copy(stage(step), first + step * A::DEPTH);
      b.copy(stage(step) + A::SIZE, first + step * B::DEPTH);
    }
    cp_async_commit();  // an empty group too, so that there is one a step to count
  };
#pragma unroll
  for (int step = 0; step < STAGES - 1; step++) fetch(step);
  for (int step = 0; step < steps; step++) {
    cp_async_wait<STAGES - 2>();
    __syncthreads();
    fetch(step + STAGES - 1);
    tile.multiply(stage(step), stage(step) + A::SIZE);
  }
}

// The steps of k that belong to this block where gridDim.y blocks share the k steps of a tile: whole panels.
struct Steps {
  int first, last;
};

template <int DEPTH>
__device__ __forceinline__ Steps steps_of_split(int k) {
  const int panels = (k + DEPTH - 1) / DEPTH, each = (panels + gridDim.y - 1) / gridDim.y * DEPTH;
  const int first = min(k, (int)blockIdx.y * each);
  return {first, min(k, first + each)};
}
