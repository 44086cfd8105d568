// How element-wise kernels walk an array of any length with a grid of any size.
//
// Thread t of all T threads takes the elements t, t + T, t + 2T, ...: neighbouring threads touch neighbouring memory,
// so a warp's 32 loads are one or two transactions. What is computed for an element never depends on T.
#pragma once

__device__ __forceinline__ long long first_element() { return blockIdx.x * (long long)blockDim.x + threadIdx.x; }

__device__ __forceinline__ long long element_step() { return gridDim.x * (long long)blockDim.x; }

#define FOR_EACH_ELEMENT(i, count) for (long long i = first_element(); i < (count); i += element_step())
