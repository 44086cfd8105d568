// The instructions that ptx.cuh wraps, under the same names.
#pragma once
#include "arithmetic.h"
#include "engine.h"

inline void cp_async16(void* shared, const void* global, int bytes, mg::Site site = mg::Site::here()) {
  mg::async_copy(site, shared, global, 16, bytes);
}
inline void cp_async8(void* shared, const void* global, int bytes, mg::Site site = mg::Site::here()) {
  mg::async_copy(site, shared, global, 8, bytes);
}
inline void cp_async4(void* shared, const void* global, int bytes, mg::Site site = mg::Site::here()) {
  mg::async_copy(site, shared, global, 4, bytes);
}
inline void cp_async_commit() { mg::async_commit(); }
template <int N>
inline void cp_async_wait() { mg::async_wait(N); }

inline u32 to_tf32(float x) {
  const u32 bits = __float_as_uint(x);
  const bool special = (bits & 0x7f800000u) == 0x7f800000u;  // infinity and NaN have no digits to round
  return special ? bits : (bits + 0x1000u) & ~0x1fffu;
}
inline void mma_tf32(float (&d)[4], const u32 (&a)[4], const u32 (&b)[2], mg::Site site = mg::Site::here()) {
  mg::mma_m16n8k8_tf32(site, d, a, b);
}
