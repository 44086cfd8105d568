// mbarriers, which count arrivals and bytes, and the copies of TMA, which count on them.
//
// A phase is over when all have arrived and all announced bytes are there. Copies land as late as they may: when the
// phase lacks nothing but them and somebody waits for it. What a thread has done before it arrives is ordered before
// what a thread does that has waited for that phase; nothing else is told by an mbarrier.
#pragma once
#include <map>

#include "memory_check.h"
#include "synchronisation.h"

namespace mg {

struct TensorCopy {
  Site site;
  unsigned char* shared;
  TensorMap map;
  int at[3];  // column, row, part of the first number
};

// The clock of each thread as those that arrived in a phase knew it.
struct Told {
  std::vector<unsigned short> clocks;
  u32 in;  // the interval of these clocks
};

struct Mbarrier {
  int arrivals, missing;           // of a phase, and how many of them have not come yet
  int initialised_by;              // thread
  bool seen_by_tma;
  unsigned phase;                  // the present one
  long long announced, under_way;  // bytes of it
  std::vector<TensorCopy> copies;  // of the present phase
  std::vector<Fiber*> waiting;
  Told present, finished;          // what who waits hears is of the last finished phase: the next may have begun
};

static std::map<const void*, Mbarrier> mbarriers;  // of the block, by address

static u32 shared_offset(const void* p) { return (u32)((const unsigned char*)p - shared_window); }

// ---- what orders ---------------------------------------------------------------------------------------------------

static void tell(Told& told) {
  if (!checking) return;
  if (told.in != interval) told.clocks.clear(), told.in = interval;
  told.clocks.resize(threads);
  auto raise = [&](int thread, unsigned short clock) {
    told.clocks[thread] = std::max(told.clocks[thread], clock);
  };
  for (int l = 0; l < 32 && current->warp * 32 + l < threads; l++) raise(current->warp * 32 + l, current->clock[l]);
  for (size_t t = 0; t < current->heard.size(); t++) raise(t, current->heard[t]);
}

static void hear(Fiber& fiber, const Told& told) {
  if (!checking || told.in != interval) return;
  fiber.heard.resize(threads);
  for (size_t t = 0; t < told.clocks.size(); t++) fiber.heard[t] = std::max(fiber.heard[t], told.clocks[t]);
}

// ---- TMA -----------------------------------------------------------------------------------------------------------

static unsigned box_bytes(const TensorMap& map) { return map.box[0] * map.box[1] * map.box[2] * 4; }

// With lines of 128 bytes, piece p (16 bytes) of line r lies at place p XOR r % 8. Lines are counted by the address.
static u32 swizzled(u32 address) { return address ^ (address >> 7 & 7) << 4; }

// The numbers of a box lie column by column within a row, row by row within a part.
static void land(const TensorCopy& copy) {
  const TensorMap& map = copy.map;
  const u32 base = shared_offset(copy.shared);
  on_behalf_of = copy.site;
  u32 place = base;
  for (u32 p = 0; p < map.box[2]; p++)
    for (u32 r = 0; r < map.box[1]; r++) {
      const u64 row = copy.at[1] + (u64)r, part = copy.at[2] + (u64)p;
      for (u32 c = 0; c < map.box[0]; c++, place += 4) {
        const u64 column = copy.at[0] + (u64)c;
        const bool inside = column < map.size[0] && row < map.size[1] && part < map.size[2];
        const char* from = (const char*)map.address + part * map.stride[1] + row * map.stride[0] + column * 4;
        float* const to = (float*)(shared_window + swizzled(place));
        *to = 0;
        if (inside) memcpy(to, from, 4);
      }
    }
  count_copies(copy.shared, box_bytes(map), -1);
}

static void touch_source(const TensorCopy& copy) {
  const TensorMap& map = copy.map;
  auto inside = [&](int axis) {
    const long long left = (long long)map.size[axis] - copy.at[axis];
    return left < 0 ? 0u : (u32)std::min<long long>(left, map.box[axis]);
  };
  for (u32 p = 0; p < inside(2); p++)
    for (u32 r = 0; r < inside(1); r++) {
      const u64 row = (copy.at[2] + (u64)p) * map.stride[1] + (copy.at[1] + (u64)r) * map.stride[0];
      touch(copy.site, (const char*)map.address + row + copy.at[0] * 4, inside(0) * 4, false, false);
    }
}

// ---- phases --------------------------------------------------------------------------------------------------------

static Mbarrier& mbarrier_at(Site site, const char* name, const void* address) {
  const auto found = mbarriers.find(address);
  if (found == mbarriers.end()) fail(site, "%s: nobody has initialised this mbarrier", name);
  touch(site, address, 8, true, true);
  return found->second;
}

static void end_phase_if_over(Mbarrier& barrier) {
  if (barrier.missing || barrier.under_way != barrier.announced) return;
  if (!barrier.copies.empty() && barrier.waiting.empty()) return;
  for (const TensorCopy& copy : barrier.copies) land(copy);
  barrier.copies.clear();
  barrier.phase++;
  barrier.missing = barrier.arrivals;
  barrier.announced = barrier.under_way = 0;
  std::swap(barrier.finished, barrier.present);
  barrier.present.clocks.clear();
  for (Fiber* fiber : barrier.waiting) hear(*fiber, barrier.finished), fiber->waits_at = nullptr;
  release(barrier.waiting);
}

void mbarrier_init(Site site, u64* address, int arrivals) {
  if ((uintptr_t)address % 8) fail(site, "mbarrier_init: the address is not a multiple of 8");
  if (arrivals < 1) fail(site, "mbarrier_init: %d arrivals", arrivals);
  touch(site, address, 8, true, false);
  mbarriers[address] = Mbarrier{.arrivals = arrivals, .missing = arrivals, .initialised_by = current->id};
}

void fence_async() {
  for (auto& [_, barrier] : mbarriers)
    if (barrier.initialised_by == current->id) barrier.seen_by_tma = true;
}

void mbarrier_arrive(Site site, const char* name, u64* address, unsigned bytes) {
  Mbarrier& barrier = mbarrier_at(site, name, address);
  if (!barrier.missing)
    fail(site, "%s: phase %u has had all of its %d arrivals, and waits for bytes", name, barrier.phase,
         barrier.arrivals);
  barrier.missing--;
  barrier.announced += bytes;
  tell(barrier.present);
  current->clock[current->lane]++;  // what comes now has not been told
  end_phase_if_over(barrier);
}

void mbarrier_wait(Site site, u64* address, u32 parity) {
  Mbarrier& barrier = mbarrier_at(site, "mbarrier_wait", address);
  if (parity > 1) fail(site, "mbarrier_wait: parity %u is neither 0 nor 1", parity);
  if ((barrier.phase & 1) != parity) {
    hear(*current, barrier.finished);
    return;
  }
  barrier.waiting.push_back(current);
  prepare_to_wait(site, "mbarrier_wait", Fiber::for_mbarrier);
  current->mbarrier = &barrier;
  end_phase_if_over(barrier);
  go_on_with_another();
}

void tma_load(Site site, void* shared, const TensorMap& map, int column, int row, int part, u64* address) {
  Mbarrier& barrier = mbarrier_at(site, "tma_load", address);
  if (!barrier.seen_by_tma) fail(site, "tma_load: no fence_async after the initialisation of its mbarrier");
  if (map.kind != TensorMap::KIND) fail(site, "tma_load: this is no tensor map");
  if (shared_offset(shared) % 128) fail(site, "tma_load: the place in shared memory is not a multiple of 128");
  const TensorCopy copy{site, (unsigned char*)shared, map, {column, row, part}};
  if (column < 0 || row < 0 || part < 0) fail(site, "tma_load of the box at (%d, %d, %d)", part, row, column);
  touch_source(copy);
  touch(site, shared, box_bytes(map), true, false);
  count_copies(copy.shared, box_bytes(map), 1);
  tell(barrier.present);
  barrier.under_way += box_bytes(map);
  barrier.copies.push_back(copy);
  end_phase_if_over(barrier);
}

// The last thread of the block ends.
static void end_tensor_copies() {
  for (const auto& [_, barrier] : mbarriers)
    if (!barrier.copies.empty())
      fail(barrier.copies[0].site, "the block ends, and nobody has waited for this copy");
}

}  // namespace mg
