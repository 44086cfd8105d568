// Numbers that are none, and how to tell them.
#pragma once

#define NOT_A_NUMBER __int_as_float(0x7fc00000)

// x - x is 0, unless x is NaN or infinite.
template <class T>
__device__ __forceinline__ bool is_finite(T x) {
  return x - x == 0;
}
