// The engine: runs the blocks of a launch, one after another. Compiled once, and linked to each library of kernels.
#include "asynchronous.h"
#include "deadlock.h"
#include "fibers.h"
#include "hooks.h"
#include "matrix.h"
#include "memory_check.h"
#include "signals.h"
#include "synchronisation.h"
#include "undefined.h"
#include "wgmma.h"

namespace mg {

static void (*kernel)(void* const*);
static void* const* kernel_arguments;

// What every fiber does for ever: one block's thread after another.
static void fiber_main() {
  for (;;) {
    kernel(kernel_arguments);
    end_copies();
    end_wgmma();
    current->done = true;
    live--;
    if (!live) end_tensor_copies();
    if (!at_barrier.empty()) tell_left_barrier();
    go_on_with_another();
  }
}

static constexpr size_t MOST_SHARED = 227 << 10;  // bytes of a block, static and dynamic: compute capability 9.0
static constexpr size_t DYNAMIC_ALIGNMENT = 128;
static constexpr size_t PAGE = 4096;

// Dynamic shared memory ends at a page that nobody may touch, or as close to it as its alignment allows.
static void place_dynamic_shared(size_t bytes) {
  static unsigned char* memory;
  const size_t room = (MOST_SHARED + PAGE - 1) / PAGE * PAGE;
  if (!memory) {
    memory = (unsigned char*)mmap(nullptr, room + PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    mprotect(memory + room, PAGE, PROT_NONE);
  }
  shared_window = memory, shared_window_bytes = room;
  dynamic_shared = memory + room - (bytes + DYNAMIC_ALIGNMENT - 1) / DYNAMIC_ALIGNMENT * DYNAMIC_ALIGNMENT;
}

// Shared memory starts as NaN: what is read before it is written shows.
static void poison_shared(size_t dynamic_bytes) {
  memset(dynamic_shared, 0xff, dynamic_bytes);
  memset(__start_mg_shared, 0xff, static_shared_bytes());
}

// The other limits of a launch are checked in Python; how much static shared memory there is shows here.
static bool too_much_shared(size_t dynamic_bytes) {
  const size_t statics = static_shared_bytes();
  if (statics + dynamic_bytes <= MOST_SHARED) return false;
  snprintf(text, sizeof text, "%zu bytes of static and %zu of dynamic shared memory, a block has at most %zu", statics,
           dynamic_bytes, MOST_SHARED);
  return true;
}

static void prepare_fibers() {
  threads = blockDim.x * blockDim.y * blockDim.z;
  grow_stacks(threads);
  fibers.assign(threads, Fiber{});
  warps.assign((threads + 31) / 32, Warp{});
  for (int i = 0; i < threads; i++) {
    Fiber& fiber = fibers[i];
    fiber.id = i, fiber.lane = i % 32, fiber.warp = i / 32;
    fiber.thread = {i % blockDim.x, i / blockDim.x % blockDim.y, i / (blockDim.x * blockDim.y)};
    void** frame = (void**)(stacks + (i + 1) * STACK - FRAME);
    frame[ENTRY] = (void*)fiber_main;
    fiber.stack_pointer = frame;
  }
}

// All threads of one block. False if it failed; `text` then says why.
static bool run_block(size_t dynamic_bytes) {
  static std::vector<Fiber*> all;
  live = threads;
  ready.clear(), ready_head = 0, at_barrier.clear();
  start_votes();
  for (Fiber& fiber : fibers) {
    fiber.done = false, fiber.waits_at = nullptr, fiber.group = 0;
    fiber.copies.clear();
    all.push_back(&fiber);
  }
  for (Warp& warp : warps) warp.meetings.clear();
  mbarriers.clear();
  start_wgmma();
  poison_shared(dynamic_bytes);
  if (checking) start_block();
  release(all);
  current = take_ready();
  threadIdx = current->thread;
  mg_switch(&launcher, current->stack_pointer);
  if (!failed && live) {
    failed = true;
    tell_deadlock();
  }
  return !failed;
}

// 0: done.  1: the launch was impossible.  2: a kernel failed.
int run(const Launch* launch, void (*thread)(void* const*), void* const* arguments, bool checked) {
  if (too_much_shared(launch->shared_bytes)) return 1;
  const Signals signals;
  kernel = thread, kernel_arguments = arguments;
  gridDim = {launch->grid[0], launch->grid[1], launch->grid[2]};
  blockDim = {launch->block[0], launch->block[1], launch->block[2]};
  order = (Order)launch->order;
  random_state = launch->seed * 2654435761ull + 1;
  failed = false;
  checking = checked;
  prepare_fibers();
  place_dynamic_shared(launch->shared_bytes);
  if (checking) start_checking(*launch);
  bool good = true;
  for (unsigned z = 0; z < gridDim.z && good; z++)
    for (unsigned y = 0; y < gridDim.y && good; y++)
      for (unsigned x = 0; x < gridDim.x && good; x++) {
        blockIdx = {x, y, z};
        good = run_block(launch->shared_bytes);
      }
  current = nullptr;
  if (checking) stop_checking();
  return good ? 0 : 2;
}

const char* message() { return text; }

}  // namespace mg

extern "C" __attribute__((visibility("default"))) const char* mg_message() { return mg::message(); }
