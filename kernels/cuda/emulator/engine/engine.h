// What kernels ask the engine for. The engine (engine.cpp) is compiled once; kernels see these declarations alone.
#pragma once
#include "language.h"

// Where the running thread is. The engine sets them whenever another thread goes on.
extern uint3 threadIdx, blockIdx;
extern dim3 blockDim, gridDim;

namespace mg {

// A line of a .cu file. As a default argument `Site::here()` is the line of whoever makes the call.
struct Site {
  const char* file;
  int line;
  static constexpr Site here(const char* file = __builtin_FILE(), int line = __builtin_LINE()) { return {file, line}; }
};

extern unsigned char* dynamic_shared;

// Stops the launch: its caller gets the message, with the site, the block and the thread in front of it.
[[noreturn]] __attribute__((format(printf, 2, 3))) void fail(Site site, const char* format, ...);

// __syncthreads and its relatives: what they return is a summary of the predicates of the block's threads.
struct Votes { int count, all, any; };
Votes block_barrier(Site site, const char* name, int predicate);

// A warp operation: waits for all lanes of `mask`; the last to come computes for all. `operands` has 32 entries, that
// of a lane is what it passed, and is null for lanes outside of the mask.
typedef void (*Exchange)(void* const* operands);
void warp_collective(Site site, const char* name, unsigned mask, void* operand, Exchange exchange);
int lane();

// A value of `bytes` bytes for that of another lane of the mask.
void shuffle(Site site, const char* name, unsigned mask, void* value, unsigned bytes, int source);
unsigned ballot(Site site, const char* name, unsigned mask, bool predicate);
void warp_barrier(Site site, unsigned mask);

// Atomic operations are a load and a store here, since only one thread runs at a time; `touch_atomic` tells the memory
// checker that they may meet.
void touch_atomic(Site site, const void* address, unsigned bytes);
void copy(void* to, const void* from, unsigned bytes);
void fence();

// The instructions behind ptx.cuh.
void async_copy(Site site, void* shared, const void* global, unsigned width, int bytes);
void async_commit();
void async_wait(int pending_groups);
void mma_m16n8k8_tf32(Site site, float* d, const u32* a, const u32* b);

// A launch as Python describes it; _Launch in launch.py is the same.
struct Array { uintptr_t address, bytes; int argument; };
struct Launch {
  unsigned grid[3], block[3], shared_bytes;
  int order;       // of Order in scheduler.h
  unsigned seed;
  int arrays;      // how many there are in `array`
  const Array* array;
};
int run(const Launch* launch, void (*thread)(void* const* arguments), void* const* arguments, bool checked);
const char* message();

}  // namespace mg
