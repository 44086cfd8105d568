// The memory checker of the checked build: every load and store of a kernel is looked at.
//
// The compiler's thread-sanitizer pass puts a call before each of them; hooks.h has the functions that it calls, in
// place of the sanitizer's own. Found are
//   - accesses outside of all arrays that the launch was given, of shared memory and of the thread's own stack;
//   - shared memory that is read before anybody has written it;
//   - races: two threads, the same bytes, one of them writes, and nothing orders them. What orders is __syncthreads,
//     __syncwarp among the lanes of its mask, arriving at an mbarrier and waiting for it (mbarrier.h), and, between
//     blocks, __threadfence together with an atomic operation.
//     Shuffles and votes order nothing, as in CUDA;
//   - shared memory that is touched while an asynchronous copy into it is under way.
// Whether there is a race does not depend on the order in which threads happen to run: accesses are compared by what
// orders them and not by when they took place.
//
// What is compared is in the cells of shadow.h.
#pragma once
#include "shadow.h"

namespace mg {

// ---- messages ----------------------------------------------------------------------------------------------------

struct Access {
  uintptr_t address;
  unsigned bytes;
  bool writes, atomic;
  u32 instruction;
};
static Site site_of(u32 instruction) {
  return instruction & IS_SITE ? sites[instruction & ~IS_SITE] : at(__ehdr_start + instruction);
}
static u32 remember(Site site) {
  for (size_t i = 0; i < sites.size(); i++)
    if (sites[i].line == site.line && sites[i].file == site.file) return IS_SITE | i;
  sites.push_back(site);
  return IS_SITE | (sites.size() - 1);
}

static const char* place(const Region& region, uintptr_t address) {
  static char buffer[96];
  const long long offset = (long long)(address - region.begin);
  const char* kind = region.argument == Region::shared ? "static" : "dynamic";
  if (region.argument >= 0) snprintf(buffer, sizeof buffer, "byte %lld of argument %d", offset, region.argument);
  else snprintf(buffer, sizeof buffer, "byte %lld of %s shared memory", offset, kind);
  return buffer;
}

[[noreturn]] static void tell_outside(const Access& access) {
  const Site site = site_of(access.instruction);
  const char* what = access.writes ? "writes" : "reads";
  if (access.address < 4096) fail(site, "%s through a null pointer", what);
  const Region* nearest = nullptr;
  uintptr_t least = 1 << 16;  // bytes; farther away it is anybody's guess which array was meant
  for (const Region& region : regions) {
    if (!region.cells) continue;
    const bool before = access.address < region.begin;
    const uintptr_t distance =
        before ? region.begin - access.address : access.address - std::min(access.address, region.end);
    if (distance < least) nearest = &region, least = distance;
  }
  if (!nearest) fail(site, "%s %u bytes outside of every array that the kernel was given", what, access.bytes);
  fail(site, "%s %u bytes at %s, which has %zu bytes", what, access.bytes, place(*nearest, access.address),
       (size_t)(nearest->end - nearest->begin));
}

[[noreturn]] static void tell_race(const Access& access, const Region& region, const Event& other, bool other_writes) {
  char where[32];
  snprintf(where, sizeof where, "%s", site_of(other.instruction).file);
  const int line = site_of(other.instruction).line;
  const Fiber& thread = fibers[other.thread];
  char block[64] = "";
  if (other.interval < block_starts.back()) {
    const auto next = std::upper_bound(block_starts.begin(), block_starts.end(), other.interval);
    const unsigned n = (unsigned)(next - block_starts.begin()) - 1;
    snprintf(block, sizeof block, " of block (%u, %u, %u)", n % gridDim.x, n / gridDim.x % gridDim.y,
             n / gridDim.x / gridDim.y);
  }
  fail(site_of(access.instruction), "race: %s %s, which thread (%u, %u, %u)%s %s at %s:%d, and nothing orders the two",
       access.writes ? "writes" : "reads", place(region, access.address), thread.thread.x, thread.thread.y,
       thread.thread.z, block, other_writes ? "has written" : "has read", where, line);
}

// ---- the check itself --------------------------------------------------------------------------------------------

// Whether an earlier event is ordered before what the running thread does now.
static bool ordered(const Event& event) {
  if (event.interval == interval) {
    if (event.thread == current->id) return true;
    if (event.thread < current->heard.size() && event.clock <= current->heard[event.thread]) return true;
    return event.thread / 32 == current->warp && event.clock <= current->clock[event.thread % 32];
  }
  if (event.interval >= block_starts.back()) return true;
  const auto next = std::upper_bound(block_starts.begin(), block_starts.end(), event.interval);
  return block_acquired && block_released[next - block_starts.begin() - 1];
}

// For a read, which of the two that are kept is given up: one that is ordered before this one, since whoever races with
// it races with this one, too; else one of the own warp, so that readers of two warps are kept where there are such.
static Event& given_up(Cell& cell) {
  Event& a = cell.read[0];
  Event& b = cell.read[1];
  if (!a.interval || ordered(a)) return a;
  if (!b.interval || ordered(b)) return b;
  return a.thread / 32 == current->warp && b.thread / 32 != current->warp ? a : b;
}

static void check_cell(const Access& access, const Region& region, Cell& cell, unsigned char bytes) {
  const bool in_shared = region.argument < 0;
  if (in_shared)  // what is there is an earlier block's
    for (Event* event : {&cell.write, &cell.read[0], &cell.read[1]})
      if (event->interval < block_starts.back()) *event = Event{};
  if (cell.copies)
    fail(site_of(access.instruction), "%s %s, into which an asynchronous copy is under way",
         access.writes ? "writes" : "reads", place(region, access.address));
  if (!access.writes && in_shared && !cell.write.interval)
    fail(site_of(access.instruction), "reads %s, which no thread has written", place(region, access.address));
  auto races_with = [&](const Event& event) {
    const bool both_atomic = access.atomic && event.atomic;
    return event.interval && (event.bytes & bytes) && !both_atomic && !ordered(event);
  };
  if (races_with(cell.write)) tell_race(access, region, cell.write, true);
  const unsigned short thread = current->id, clock = current->clock[current->lane];
  Event event{interval, access.instruction, thread, clock, bytes, access.atomic};
  if (!access.writes) {
    given_up(cell) = event;
    return;
  }
  for (const Event& read : cell.read)
    if (races_with(read)) tell_race(access, region, read, false);
  const Event& before = cell.write;  // of one thread that writes a word in parts all parts count
  if (before.interval == interval && before.thread == thread && before.atomic == access.atomic)
    event.bytes |= before.bytes;
  cell.write = event;
}

static void check(const Access& access) {
  if (access.address - (uintptr_t)(stacks + current->id * STACK) < STACK) return;
  static size_t last;  // accesses come in runs
  const uintptr_t end = access.address + access.bytes;
  auto inside = [&](const Region& region) { return access.address >= region.begin && end <= region.end; };
  if (last >= regions.size() || !inside(regions[last])) {
    last = 0;
    while (last < regions.size() && !inside(regions[last])) last++;
    if (last == regions.size()) tell_outside(access);
  }
  const Region& region = regions[last];
  if (!region.cells) {  // constants; shared memory lies among them, so that they must not be found first
    last = 0;
    return;
  }
  const uintptr_t base = region.begin & ~(uintptr_t)3;
  for (uintptr_t word = access.address & ~(uintptr_t)3; word < end; word += 4) {
    unsigned char bytes = 15;
    if (word < access.address) bytes &= 15 << (access.address - word);
    if (word + 4 > end) bytes &= 15 >> (word + 4 - end);
    check_cell(access, region, region.cells[(word - base) / 4], bytes);
  }
}

// ---- what the engine does on behalf of a kernel ------------------------------------------------------------------

static void touch(Site site, const void* address, unsigned bytes, bool writes, bool atomic) {
  if (checking && bytes) check({(uintptr_t)address, bytes, writes, atomic, remember(site)});
}

void touch_atomic(Site site, const void* address, unsigned bytes) {
  if ((uintptr_t)address % bytes) fail(site, "atomic operation on a misaligned address");
  on_behalf_of = site;
  touch(site, address, bytes, true, true);
  if (block_fenced && checking) block_released.back() = true;
  block_met = true;
}

void copy(void* to, const void* from, unsigned bytes) { memcpy(to, from, bytes); }

void fence() {
  block_fenced = true;
  if (block_met) block_acquired = true;
}

static void count_copies(const void* shared, unsigned bytes, int change) {
  if (!checking) return;
  for (const Region& region : regions) {
    const uintptr_t address = (uintptr_t)shared;
    if (!region.cells || address < region.begin || address >= region.end) continue;
    const size_t first = (address - (region.begin & ~(uintptr_t)3)) / 4;
    for (unsigned i = 0; i < bytes / 4; i++) region.cells[first + i].copies += change;
  }
}

}  // namespace mg
