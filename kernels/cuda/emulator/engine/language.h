// CUDA's additions to C++ that are words and types: what a .cu file needs in order to be C++20.
// No header of the standard library is included, as none may be in a kernel, and so that kernels compile in tenths of a
// second.
#pragma once
#define MG_CPU 1

#define __global__
#define __device__
#define __host__
#define __constant__ static const
#define __forceinline__ inline __attribute__((always_inline))
#define __noinline__ __attribute__((noinline))
#define __align__(n) __attribute__((aligned(n)))
#define __launch_bounds__(...)
#define __grid_constant__
#define __restrict__ __restrict

// Static shared memory: one copy is enough, since blocks run one after another. A section of its own tells where all of
// it lies, so that it can be filled with NaN before each block, and watched.
#define __shared__ static __attribute__((section("mg_shared")))

// Dynamic shared memory; see common.cuh.
#define MG_DYN_SHARED(T, name) T* name = reinterpret_cast<T*>(::mg::dynamic_shared)

#define MG_INF __builtin_inff()

typedef __SIZE_TYPE__ size_t;
typedef __PTRDIFF_TYPE__ ptrdiff_t;
typedef __INT8_TYPE__ int8_t;
typedef __INT16_TYPE__ int16_t;
typedef __INT32_TYPE__ int32_t;
typedef __INT64_TYPE__ int64_t;
typedef __UINT8_TYPE__ uint8_t;
typedef __UINT16_TYPE__ uint16_t;
typedef __UINT32_TYPE__ uint32_t;
typedef __UINT64_TYPE__ uint64_t;
typedef __UINTPTR_TYPE__ uintptr_t;
typedef unsigned char uchar;
typedef unsigned short ushort;
typedef unsigned int uint;
typedef unsigned int u32;
typedef unsigned long long u64;

// The vector types, with CUDA's alignments: a load of one asks for an address that is a multiple of it.
#define MG_VECTOR_2(T, name, alignment)                       \
  struct alignas(alignment) name##2 { T x, y; };              \
  inline name##2 make_##name##2(T x, T y) { return {x, y}; }
#define MG_VECTOR_4(T, name, alignment)                                       \
  struct alignas(alignment) name##4 { T x, y, z, w; };                        \
  inline name##4 make_##name##4(T x, T y, T z, T w) { return {x, y, z, w}; }
MG_VECTOR_2(float, float, 8)
MG_VECTOR_4(float, float, 16)
MG_VECTOR_2(double, double, 16)
MG_VECTOR_2(int, int, 8)
MG_VECTOR_4(int, int, 16)
MG_VECTOR_2(unsigned int, uint, 8)
MG_VECTOR_4(unsigned int, uint, 16)
MG_VECTOR_4(unsigned char, uchar, 4)
#undef MG_VECTOR_2
#undef MG_VECTOR_4

struct uint3 { unsigned x, y, z; };
struct dim3 {
  unsigned x, y, z;
  constexpr dim3(unsigned x = 1, unsigned y = 1, unsigned z = 1) : x(x), y(y), z(z) {}
};
constexpr int warpSize = 32;
