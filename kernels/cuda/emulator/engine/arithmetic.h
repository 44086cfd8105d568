// Mathematical functions: the C library's, under the names and for the types that CUDA has. Those that a GPU computes
// approximately (__expf) are exact here.
#pragma once
#include "language.h"

#define MG_FUNCTION(name)                                            \
  inline float name##f(float x) { return __builtin_##name##f(x); }   \
  inline float name(float x) { return __builtin_##name##f(x); }      \
  inline double name(double x) { return __builtin_##name(x); }
MG_FUNCTION(sqrt) MG_FUNCTION(exp) MG_FUNCTION(exp2) MG_FUNCTION(expm1) MG_FUNCTION(log) MG_FUNCTION(log2)
MG_FUNCTION(log10) MG_FUNCTION(log1p) MG_FUNCTION(sin) MG_FUNCTION(cos) MG_FUNCTION(tan) MG_FUNCTION(sinh)
MG_FUNCTION(cosh) MG_FUNCTION(tanh) MG_FUNCTION(erf) MG_FUNCTION(erfc) MG_FUNCTION(floor) MG_FUNCTION(ceil)
MG_FUNCTION(trunc) MG_FUNCTION(round) MG_FUNCTION(rint) MG_FUNCTION(fabs) MG_FUNCTION(cbrt) MG_FUNCTION(asin)
MG_FUNCTION(acos) MG_FUNCTION(atan)
#undef MG_FUNCTION
#define MG_FUNCTION(name)                                                               \
  inline float name##f(float x, float y) { return __builtin_##name##f(x, y); }          \
  inline float name(float x, float y) { return __builtin_##name##f(x, y); }             \
  inline double name(double x, double y) { return __builtin_##name(x, y); }
MG_FUNCTION(pow) MG_FUNCTION(fmin) MG_FUNCTION(fmax) MG_FUNCTION(fmod) MG_FUNCTION(hypot) MG_FUNCTION(copysign)
MG_FUNCTION(atan2)
#undef MG_FUNCTION

inline float fmaf(float x, float y, float z) { return __builtin_fmaf(x, y, z); }
inline float fma(float x, float y, float z) { return __builtin_fmaf(x, y, z); }
inline double fma(double x, double y, double z) { return __builtin_fma(x, y, z); }
inline float rsqrtf(float x) { return 1.0f / __builtin_sqrtf(x); }
inline float rsqrt(float x) { return rsqrtf(x); }
inline double rsqrt(double x) { return 1.0 / __builtin_sqrt(x); }
inline bool isnan(float x) { return __builtin_isnan(x); }
inline bool isnan(double x) { return __builtin_isnan(x); }
inline bool isinf(float x) { return __builtin_isinf(x); }
inline bool isinf(double x) { return __builtin_isinf(x); }
inline bool isfinite(float x) { return __builtin_isfinite(x); }
inline bool isfinite(double x) { return __builtin_isfinite(x); }
inline int abs(int x) { return x < 0 ? -x : x; }
inline float abs(float x) { return __builtin_fabsf(x); }
inline double abs(double x) { return __builtin_fabs(x); }

// As in CUDA, of two floating-point numbers min and max are fmin and fmax: a NaN loses.
#define MG_MIN_MAX(T)                                      \
  inline T min(T a, T b) { return b < a ? b : a; }         \
  inline T max(T a, T b) { return a < b ? b : a; }
MG_MIN_MAX(int) MG_MIN_MAX(unsigned) MG_MIN_MAX(long) MG_MIN_MAX(unsigned long) MG_MIN_MAX(long long)
MG_MIN_MAX(unsigned long long)
#undef MG_MIN_MAX
inline float min(float a, float b) { return __builtin_fminf(a, b); }
inline float max(float a, float b) { return __builtin_fmaxf(a, b); }
inline double min(double a, double b) { return __builtin_fmin(a, b); }
inline double max(double a, double b) { return __builtin_fmax(a, b); }

inline float __expf(float x) { return __builtin_expf(x); }
inline float __logf(float x) { return __builtin_logf(x); }
inline float __fdividef(float a, float b) { return a / b; }
inline float __frcp_rn(float a) { return 1.0f / a; }
inline float __fsqrt_rn(float a) { return __builtin_sqrtf(a); }

// Rounded one by one: never fused into one multiply-add. The barrier to the optimiser is what keeps it from fusing.
#define MG_ROUNDED(T, name, operator) \
  inline T name(T a, T b) {           \
    T r = a operator b;               \
    asm("" : "+x"(r));                \
    return r;                         \
  }
#if defined(__aarch64__)
#undef MG_ROUNDED
#define MG_ROUNDED(T, name, operator) \
  inline T name(T a, T b) {           \
    T r = a operator b;               \
    asm("" : "+w"(r));                \
    return r;                         \
  }
#endif
MG_ROUNDED(float, __fmul_rn, *) MG_ROUNDED(float, __fadd_rn, +) MG_ROUNDED(float, __fsub_rn, -)
MG_ROUNDED(float, __fdiv_rn, /) MG_ROUNDED(double, __dmul_rn, *) MG_ROUNDED(double, __dadd_rn, +)
#undef MG_ROUNDED
inline float __fmaf_rn(float x, float y, float z) { return __builtin_fmaf(x, y, z); }

// Bits.
inline u32 __float_as_uint(float x) { return __builtin_bit_cast(u32, x); }
inline int __float_as_int(float x) { return __builtin_bit_cast(int, x); }
inline float __uint_as_float(u32 x) { return __builtin_bit_cast(float, x); }
inline float __int_as_float(int x) { return __builtin_bit_cast(float, x); }
inline long long __double_as_longlong(double x) { return __builtin_bit_cast(long long, x); }
inline double __longlong_as_double(long long x) { return __builtin_bit_cast(double, x); }
inline u32 __umulhi(u32 a, u32 b) { return (u32)((u64)a * b >> 32); }
inline u64 __umul64hi(u64 a, u64 b) { return (u64)((unsigned __int128)a * b >> 64); }
inline int __popc(u32 x) { return __builtin_popcount(x); }
inline int __popcll(u64 x) { return __builtin_popcountll(x); }
inline int __ffs(int x) { return __builtin_ffs(x); }
inline int __clz(int x) { return x ? __builtin_clz((unsigned)x) : 32; }
inline u32 __funnelshift_l(u32 low, u32 high, u32 shift) {
  shift &= 31;
  return shift ? high << shift | low >> (32 - shift) : high;
}

// Loads through the read-only cache.
template <class T>
inline T __ldg(const T* p) { return *p; }
