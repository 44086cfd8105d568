// Barriers of the block and operations of the warp: threads that come wait, the last one releases them.
#pragma once
#include "fibers.h"
#include "memory_check.h"

namespace mg {

// ---- the block ---------------------------------------------------------------------------------------------------

static std::vector<Fiber*> at_barrier;
static Votes votes, result;

static void start_votes() { votes = {0, 1, 0}; }

Votes block_barrier(Site site, const char* name, int predicate) {
  if (!at_barrier.empty()) {
    const Fiber& first = *at_barrier[0];
    if (first.site.line != site.line || strcmp(first.waits_at, name))
      fail(site, "%s, while thread (%u, %u, %u) waits at %s of %s:%d: a barrier is for the whole block", name,
           first.thread.x, first.thread.y, first.thread.z, first.waits_at, first.site.file, first.site.line);
  }
  if (live < threads)
    fail(site, "%s, but %d of the block's %d threads have ended before it", name, threads - live, threads);
  votes.count += predicate != 0;
  votes.all &= predicate != 0;
  votes.any |= predicate != 0;
  at_barrier.push_back(current);
  if ((int)at_barrier.size() == threads) {
    result = votes;
    start_votes();
    next_interval();
    std::vector<Fiber*> all;
    for (Fiber& fiber : fibers) fiber.waits_at = nullptr, all.push_back(&fiber);
    at_barrier.clear();
    release(all);
    go_on_with_another();
  } else {
    prepare_to_wait(site, name, Fiber::for_block);
    go_on_with_another();
  }
  return result;
}

// The running thread ends, while others wait at a barrier. A GPU may let them pass; CUDA does not promise it.
[[noreturn]] static void tell_left_barrier() {
  const Fiber& first = *at_barrier[0];
  fail(first.site, "ends, while thread (%u, %u, %u) waits at %s: a barrier is for the whole block", first.thread.x,
       first.thread.y, first.thread.z, first.waits_at);
}

// ---- the warp ----------------------------------------------------------------------------------------------------

// Lanes that wait for one another: those that name the same mask.
struct Meeting { unsigned mask, arrived; };
struct Warp {
  void* operand[32];
  std::vector<Meeting> meetings;
};
static std::vector<Warp> warps;

int lane() { return current->lane; }

static Fiber& lane_of_warp(int lane) { return fibers[current->warp * 32 + lane]; }

void warp_collective(Site site, const char* name, unsigned mask, void* operand, Exchange exchange) {
  Warp& warp = warps[current->warp];
  const unsigned me = 1u << current->lane;
  if (!(mask & me))
    fail(site, "%s with mask 0x%08x, which does not have the calling lane %d", name, mask, current->lane);
  const int lanes = threads - current->warp * 32;
  if (lanes < 32 && mask >> lanes)
    fail(site, "%s with mask 0x%08x in a warp of %d threads", name, mask, lanes);
  size_t i = 0;
  while (i < warp.meetings.size() && warp.meetings[i].mask != mask) i++;
  if (i == warp.meetings.size()) warp.meetings.push_back({mask, 0});
  Meeting& meeting = warp.meetings[i];
  if (meeting.arrived) {
    const Fiber& other = lane_of_warp(__builtin_ctz(meeting.arrived));
    if (other.site.line != site.line || strcmp(other.waits_at, name))
      fail(site, "%s, while thread (%u, %u, %u) of the same mask 0x%08x waits at %s of %s:%d", name, other.thread.x,
           other.thread.y, other.thread.z, mask, other.waits_at, other.site.file, other.site.line);
  }
  warp.operand[current->lane] = operand;
  meeting.arrived |= me;
  if (meeting.arrived != mask) {
    prepare_to_wait(site, name, Fiber::for_lanes);
    current->mask = mask;
    go_on_with_another();
    return;
  }
  warp.meetings.erase(warp.meetings.begin() + i);
  void* operands[32];
  for (int l = 0; l < 32; l++) operands[l] = mask >> l & 1 ? warp.operand[l] : nullptr;
  if (exchange) exchange(operands);
  std::vector<Fiber*> all;
  for (int l = 0; l < 32; l++)
    if (mask >> l & 1) lane_of_warp(l).waits_at = nullptr, all.push_back(&lane_of_warp(l));
  release(all);
  go_on_with_another();
}

void shuffle(Site site, const char* name, unsigned mask, void* value, unsigned bytes, int source) {
  struct Operand { unsigned char before[8]; void* value; unsigned bytes; int source; } mine;
  if (!(mask >> source & 1) && (mask >> current->lane & 1))
    fail(site, "%s reads lane %d, which is not in the mask 0x%08x", name, source, mask);
  memcpy(mine.before, value, bytes);
  mine.value = value, mine.bytes = bytes, mine.source = source;
  warp_collective(site, name, mask, &mine, [](void* const* operands) {
    for (int l = 0; l < 32; l++)
      if (auto* to = (Operand*)operands[l]) memcpy(to->value, ((Operand*)operands[to->source])->before, to->bytes);
  });
}

unsigned ballot(Site site, const char* name, unsigned mask, bool predicate) {
  struct Operand { bool predicate; unsigned votes; } mine = {predicate, 0};
  warp_collective(site, name, mask, &mine, [](void* const* operands) {
    unsigned votes = 0;
    for (int l = 0; l < 32; l++)
      if (operands[l] && ((Operand*)operands[l])->predicate) votes |= 1u << l;
    for (int l = 0; l < 32; l++)
      if (operands[l]) ((Operand*)operands[l])->votes = votes;
  });
  return mine.votes;
}

void warp_barrier(Site site, unsigned mask) {
  warp_collective(site, "__syncwarp", mask, current, [](void* const* lanes) { join_clocks((Fiber* const*)lanes); });
}

}  // namespace mg
