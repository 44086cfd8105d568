// What is told of a launch in which nobody can go on: whom a fiber waits for, and why that one does not come.
#pragma once
#include "mbarrier.h"
#include "synchronisation.h"

namespace mg {

// Whether `b` is one of those that `a` waits for, or may wait for.
static bool waits_for(const Fiber& a, const Fiber& b) {
  switch (a.waits) {
    case Fiber::for_lanes: return a.warp == b.warp && a.mask >> b.lane & 1;
    case Fiber::for_group: return a.id / WARP_GROUP == b.id / WARP_GROUP;
    default: return true;
  }
}

static bool wait_together(const Fiber& a, const Fiber& b) {
  const bool same_lanes = a.waits != Fiber::for_lanes || a.mask == b.mask;
  return !b.done && a.waits == b.waits && same_lanes && a.site.line == b.site.line;
}

static void tell_deadlock() {
  Fiber* first = nullptr;
  for (Fiber& fiber : fibers)
    if (!fiber.done && !first) first = &fiber;
  Fiber* missing = nullptr;
  for (Fiber& fiber : fibers)
    if (waits_for(*first, fiber) && !wait_together(*first, fiber) && !missing) missing = &fiber;
  current = first;
  threadIdx = first->thread;
  int n = 0;
  auto add = [&](const char* format, auto... values) { n += snprintf(text + n, sizeof text - n, format, values...); };
  add("%s:%d: block (%u, %u, %u), thread (%u, %u, %u): waits for ever at %s", first->site.file, first->site.line,
      blockIdx.x, blockIdx.y, blockIdx.z, threadIdx.x, threadIdx.y, threadIdx.z, first->waits_at);
  if (first->waits == Fiber::for_lanes) add(" with mask 0x%08x", first->mask);
  if (first->waits == Fiber::for_mbarrier) {
    const Mbarrier& barrier = *first->mbarrier;
    add(" for phase %u, which has had %d of %d arrivals and %lld of %lld bytes", barrier.phase,
        barrier.arrivals - barrier.missing, barrier.arrivals, barrier.under_way, barrier.announced);
  }
  if (!missing) return;
  add(first->waits == Fiber::for_mbarrier ? "; thread (%u, %u, %u) " : " for thread (%u, %u, %u), which ",
      missing->thread.x, missing->thread.y, missing->thread.z);
  if (missing->done) add("has ended");
  else add("waits at %s of %s:%d", missing->waits_at, missing->site.file, missing->site.line);
}

}  // namespace mg
