// Operations of a warp and of a block: each waits for its partners, in the engine.
#pragma once
#include "engine.h"

inline void __syncthreads(mg::Site site = mg::Site::here()) { mg::block_barrier(site, "__syncthreads", 0); }
inline int __syncthreads_count(int p, mg::Site site = mg::Site::here()) {
  return mg::block_barrier(site, "__syncthreads_count", p).count;
}
inline int __syncthreads_and(int p, mg::Site site = mg::Site::here()) {
  return mg::block_barrier(site, "__syncthreads_and", p).all;
}
inline int __syncthreads_or(int p, mg::Site site = mg::Site::here()) {
  return mg::block_barrier(site, "__syncthreads_or", p).any;
}

inline void __syncwarp(unsigned mask = 0xffffffffu, mg::Site site = mg::Site::here()) { mg::warp_barrier(site, mask); }
// It says nothing about who will come to the next operation: masks are written out.
inline unsigned __activemask() = delete;
inline unsigned __ballot_sync(unsigned mask, int p, mg::Site site = mg::Site::here()) {
  return mg::ballot(site, "__ballot_sync", mask, p != 0);
}
inline int __any_sync(unsigned mask, int p, mg::Site site = mg::Site::here()) {
  return mg::ballot(site, "__any_sync", mask, p != 0) != 0;
}
inline int __all_sync(unsigned mask, int p, mg::Site site = mg::Site::here()) {
  return mg::ballot(site, "__all_sync", mask, p != 0) == mask;
}

// Shuffles: a warp is cut into segments of `width` lanes; a source outside of the own segment is the own lane.
namespace mg {
template <class T>
inline T shuffled(Site site, const char* name, unsigned mask, T value, int source, int width, bool wraps) {
  static_assert(sizeof(T) == 4 || sizeof(T) == 8, "shuffles move 4 or 8 bytes");
  const int first = lane() & ~(width - 1);
  if (wraps) source = first + (source & (width - 1));
  else if (source < first || source >= first + width) source = lane();
  shuffle(site, name, mask, &value, sizeof(T), source);
  return value;
}
}  // namespace mg

template <class T>
inline T __shfl_sync(unsigned mask, T v, int source, int width = 32, mg::Site site = mg::Site::here()) {
  return mg::shuffled(site, "__shfl_sync", mask, v, source, width, true);
}
template <class T>
inline T __shfl_xor_sync(unsigned mask, T v, int lanes, int width = 32, mg::Site site = mg::Site::here()) {
  return mg::shuffled(site, "__shfl_xor_sync", mask, v, mg::lane() ^ lanes, width, false);
}
template <class T>
inline T __shfl_down_sync(unsigned mask, T v, unsigned delta, int width = 32, mg::Site site = mg::Site::here()) {
  return mg::shuffled(site, "__shfl_down_sync", mask, v, mg::lane() + (int)delta, width, false);
}
template <class T>
inline T __shfl_up_sync(unsigned mask, T v, unsigned delta, int width = 32, mg::Site site = mg::Site::here()) {
  return mg::shuffled(site, "__shfl_up_sync", mask, v, mg::lane() - (int)delta, width, false);
}
