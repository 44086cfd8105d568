// The instructions that ptx.cuh and ptx_sm90.cuh wrap, under the same names.
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
inline u32 shared_address(const void* p) { return (u32)((const unsigned char*)p - mg::shared_window); }

inline void mma_tf32(float (&d)[4], const u32 (&a)[4], const u32 (&b)[2], mg::Site site = mg::Site::here()) {
  mg::mma_m16n8k8_tf32(site, d, a, b);
}

inline void mbarrier_init(u64* barrier, int arrivals, mg::Site site = mg::Site::here()) {
  mg::mbarrier_init(site, barrier, arrivals);
}
inline void fence_async() { mg::fence_async(); }
inline void mbarrier_arrive(u64* barrier, mg::Site site = mg::Site::here()) {
  mg::mbarrier_arrive(site, "mbarrier_arrive", barrier, 0);
}
inline void mbarrier_expect(u64* barrier, u32 bytes, mg::Site site = mg::Site::here()) {
  mg::mbarrier_arrive(site, "mbarrier_expect", barrier, bytes);
}
inline void mbarrier_wait(u64* barrier, u32 parity, mg::Site site = mg::Site::here()) {
  mg::mbarrier_wait(site, barrier, parity);
}
inline void tma_load(void* shared, const TensorMap& map, int column, int row, int part, u64* barrier,
                     mg::Site site = mg::Site::here()) {
  mg::tma_load(site, shared, map, column, row, part, barrier);
}

inline void wgmma_fence(float (&)[64], mg::Site site = mg::Site::here()) { mg::wgmma_fence(site); }
inline void wgmma_commit(mg::Site site = mg::Site::here()) { mg::wgmma_commit(site); }
template <int N>
inline void wgmma_wait(float (&)[64], mg::Site site = mg::Site::here()) { mg::wgmma_wait(site, N); }
inline void wgmma_tf32(float (&d)[64], u64 a, u64 b, bool add, mg::Site site = mg::Site::here()) {
  mg::wgmma_tf32(site, d, a, b, add);
}
