// What every kernel file may use: type names, limits, and how dynamic shared memory is declared. The emulator has its
// own versions, so all of this is for the GPU's compiler.
#pragma once
#ifndef MG_CPU
typedef unsigned int u32;
typedef unsigned long long u64;

// NVRTC has no INFINITY.
#define MG_INF __int_as_float(0x7f800000)

// One array of dynamic shared memory, as the launch asked for it. The one name and the one type let several templates in
// a file declare it.
#define MG_DYN_SHARED(T, name)                               \
  extern __shared__ __align__(128) unsigned char mg_dyn_[]; \
  T* name = reinterpret_cast<T*>(mg_dyn_)
#endif
