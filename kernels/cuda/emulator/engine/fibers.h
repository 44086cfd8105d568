// One fiber for each CUDA thread of a block, and the order in which they run.
//
// Fibers are never interrupted: one runs until it has to wait for others, then the next that is ready goes on. All
// blocks of a grid run one after another on the same fibers.
#pragma once
#include <sys/mman.h>

#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "context_switch.h"
#include "engine.h"

uint3 threadIdx, blockIdx;
dim3 blockDim, gridDim;

namespace mg {

// forward, reverse: threads go on in that order.  random: any that is ready.  warps: those that were released last, so
// that a warp runs as far as it can before the next one starts.
enum class Order { forward, reverse, random, warps };

struct AsyncCopy {
  void* shared;
  const void* global;
  unsigned width, bytes;  // bytes are copied, the rest up to width becomes 0
  int group;
  Site site;
};

struct Mbarrier;

struct Fiber {
  void* stack_pointer;
  uint3 thread;
  int id, lane, warp;
  bool done;
  const char* waits_at;  // the operation; null while it is ready or running
  Site site;
  enum { for_block, for_lanes, for_group, for_mbarrier } waits;
  unsigned mask;         // for_lanes: which of its warp
  Mbarrier* mbarrier;    // for_mbarrier
  int group;             // of asynchronous copies: the number of the one that is being filled
  std::vector<AsyncCopy> copies;
  unsigned short clock[32];  // of each lane of the warp, how far this thread has seen it; see shadow.h
  std::vector<unsigned short> heard;  // the same of all threads of the block, as far as mbarriers have told
};

constexpr int WARP_GROUP = 128;      // threads
constexpr size_t STACK = 256 << 10;  // bytes; memory is taken only as far as it is used

static Fiber* current;
static std::vector<Fiber> fibers;
static int threads, live;  // of the block: how many, how many have not ended
static void* launcher;     // the context that started the block
static char* stacks;
static int stacks_made;
static Order order;
static u64 random_state;
static char text[4096];    // the message of a failure
static bool failed;

static unsigned random_below(unsigned n) {
  random_state = random_state * 6364136223846793005ull + 1442695040888963407ull;
  return (unsigned)((random_state >> 33) % n);
}

// ---- who goes on next --------------------------------------------------------------------------------------------

static std::vector<Fiber*> ready;
static size_t ready_head;

// These may go on, in their order: the lowest thread first.
static void release(std::vector<Fiber*>& released) {
  if (order == Order::reverse || order == Order::warps) {
    ready.insert(ready.end(), released.rbegin(), released.rend());  // warps: takes from the end
  } else {
    ready.insert(ready.end(), released.begin(), released.end());
  }
  released.clear();
}

static Fiber* take_ready() {
  if (ready_head == ready.size()) {
    ready.clear();
    ready_head = 0;
    return nullptr;
  }
  if (order == Order::warps || order == Order::random) {
    if (order == Order::random) std::swap(ready.back(), ready[ready_head + random_below(ready.size() - ready_head)]);
    Fiber* fiber = ready.back();
    ready.pop_back();
    return fiber;
  }
  Fiber* fiber = ready[ready_head++];
  if (ready_head == 4096) {  // what was taken is dropped in large pieces
    ready.erase(ready.begin(), ready.begin() + ready_head);
    ready_head = 0;
  }
  return fiber;
}

// The next ready fiber runs; with none left, the launcher. Returns when somebody has released this fiber.
static void go_on_with_another() {
  Fiber* me = current;
  current = take_ready();
  if (current == me) return;
  if (current) threadIdx = current->thread;
  mg_switch(&me->stack_pointer, current ? current->stack_pointer : launcher);
}

static void prepare_to_wait(Site site, const char* name, decltype(Fiber::waits) whom) {
  current->site = site;
  current->waits_at = name;
  current->waits = whom;
}

// ---- failures ----------------------------------------------------------------------------------------------------

// Ends the launch. Fibers that have not ended are left where they are: kernels own nothing that would have to be freed.
[[noreturn]] static void abandon() {
  failed = true;
  void* nobody;
  mg_switch(&nobody, launcher);
  abort();
}

void fail(Site site, const char* format, ...) {
  int n = snprintf(text, sizeof text, "%s:%d: block (%u, %u, %u), thread (%u, %u, %u): ", site.file, site.line,
                   blockIdx.x, blockIdx.y, blockIdx.z, threadIdx.x, threadIdx.y, threadIdx.z);
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(text + n, sizeof text - n, format, arguments);
  va_end(arguments);
  abandon();
}

// A place in the machine code, for a message: Python finds the line that it was compiled from.
extern "C" __attribute__((visibility("hidden"))) const char __ehdr_start[];
static Site at(const void* instruction) {
  static char buffer[32];
  snprintf(buffer, sizeof buffer, "@%zx@", (size_t)((const char*)instruction - __ehdr_start));
  return {buffer, 0};
}

// The line that the engine works for, when it touches a kernel's memory itself.
static Site on_behalf_of;

// Zeroed memory, taken as it is touched.
static void* reserve(size_t bytes) {
  return mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
}

static void grow_stacks(int count) {
  if (count <= stacks_made) return;
  if (stacks) munmap(stacks, stacks_made * STACK);
  stacks = (char*)reserve(count * STACK);
  stacks_made = count;
}

}  // namespace mg
