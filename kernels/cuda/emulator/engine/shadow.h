// What the memory checker remembers of memory, and in what order threads have seen each other's work.
//
// For four bytes of memory there is a cell: the last write and two reads since (of different warps, if there are such).
// Time is counted in intervals, the stretches of a block between two barriers: accesses in different intervals of one
// block are ordered. Within an interval, two threads are ordered if the later one has seen, through __syncwarp or an
// mbarrier, the earlier one's clock of that moment (vector clocks: C. Fidge 1988, F. Mattern 1989; that a write and
// few reads suffice: C. Flanagan, S. Freund, FastTrack, 2009).
#pragma once
#include <algorithm>

#include "fibers.h"

extern "C" {
extern unsigned char __start_mg_shared[] __attribute__((visibility("hidden")));
extern const char _end[] __attribute__((visibility("hidden")));
}

namespace mg {

unsigned char *dynamic_shared, *shared_window;
unsigned shared_window_bytes;

// The end of static shared memory: the engine is linked behind the kernels, so this is what comes last in the section.
// A kernel that oversteps its arrays runs into it, and not into the engine's own data.
__attribute__((section("mg_shared"))) static unsigned char beyond_shared[32 << 10] = {};
static size_t static_shared_bytes() { return beyond_shared - __start_mg_shared; }
static bool checking;

struct Event {
  u32 interval;          // 0: none
  u32 instruction;       // offset in the library, or, with a line, of a Site
  unsigned short thread, clock;
  unsigned char bytes;   // of the cell's four, one bit each
  bool atomic;
};
struct Cell {
  Event write, read[2];
  unsigned short copies;  // asynchronous copies under way
};
struct Region {
  uintptr_t begin, end;
  Cell* cells;    // null: not watched
  int argument;   // >= 0: of the kernel; else one of
  enum { statics = -1, shared = -2, dynamic = -3 };
};

static std::vector<Region> regions;
static std::vector<Site> sites;           // of events that the engine itself makes, such as asynchronous copies
static u32 interval;                      // the present one
static std::vector<u32> block_starts;     // first interval of each block so far
static std::vector<bool> block_released;  // has fenced and then done an atomic operation
static bool block_fenced, block_met, block_acquired;

static constexpr u32 IS_SITE = 0x80000000u;

static size_t cell_bytes(const Region& region) { return ((region.end - region.begin + 7) / 4) * sizeof(Cell); }

static void watch(uintptr_t begin, size_t bytes, int argument, bool cells) {
  if (!bytes) return;
  Region region{begin, begin + bytes, nullptr, argument};
  if (cells)  // zero pages, taken as they are touched
    region.cells = (Cell*)reserve(cell_bytes(region));
  regions.push_back(region);
}

static void start_checking(const Launch& launch) {
  interval = 0;
  block_starts.clear(), block_released.clear(), regions.clear(), sites.clear();
  watch((uintptr_t)__start_mg_shared, static_shared_bytes(), Region::shared, true);
  watch((uintptr_t)dynamic_shared, launch.shared_bytes, Region::dynamic, true);
  // Arrays that overlap, such as an input that is the output too, share their cells.
  std::vector<Array> arrays(launch.array, launch.array + launch.arrays);
  std::sort(arrays.begin(), arrays.end(), [](const Array& a, const Array& b) { return a.address < b.address; });
  for (size_t i = 0; i < arrays.size();) {
    const Array& first = arrays[i];
    uintptr_t end = first.address + first.bytes;
    while (++i < arrays.size() && arrays[i].address < end) end = std::max(end, arrays[i].address + arrays[i].bytes);
    watch(first.address, end - first.address, first.argument, true);
  }
  watch((uintptr_t)__ehdr_start, _end - __ehdr_start, Region::statics, false);  // constants, after what lies in there
}

static void stop_checking() {
  for (Region& region : regions)
    if (region.cells) munmap(region.cells, cell_bytes(region));
  regions.clear();
}

static void next_interval() {
  if (!checking) return;
  interval++;
  for (Fiber& fiber : fibers) {
    fiber.heard.clear();
    memset(fiber.clock, 0, sizeof fiber.clock);
    fiber.clock[fiber.lane] = 1;
  }
}

static void start_block() {
  next_interval();
  block_starts.push_back(interval);
  block_released.push_back(false);
  block_fenced = block_met = block_acquired = false;
}

// __syncwarp: each of the lanes has now seen what the others have done.
static void join_clocks(Fiber* const* lanes) {
  if (!checking) return;
  unsigned short joined[32] = {};
  std::vector<unsigned short> heard;
  for (int l = 0; l < 32; l++) {
    if (!lanes[l]) continue;
    for (int k = 0; k < 32; k++) joined[k] = std::max(joined[k], lanes[l]->clock[k]);
    heard.resize(std::max(heard.size(), lanes[l]->heard.size()));
    for (size_t k = 0; k < lanes[l]->heard.size(); k++) heard[k] = std::max(heard[k], lanes[l]->heard[k]);
  }
  for (int l = 0; l < 32; l++)
    if (lanes[l]) memcpy(lanes[l]->clock, joined, sizeof joined), lanes[l]->clock[l]++, lanes[l]->heard = heard;
}

}  // namespace mg
