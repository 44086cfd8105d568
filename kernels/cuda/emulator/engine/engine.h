// What kernels ask the engine for. The engine (engine.cpp) is compiled once; kernels see these declarations alone.
#pragma once
#include "language.h"

// Where the running thread is. The engine sets them whenever another thread goes on.
extern uint3 threadIdx, blockIdx;
extern dim3 blockDim, gridDim;

// An array of float32 of three axes for TMA, from the inner one out; tensor_map.py in Python writes it. A GPU's is as
// large, and nobody but the driver knows what is in it.
struct TensorMap {
  static constexpr u64 KIND = 0x70616d726f736e74;
  u64 kind, address, size[3], stride[2];  // strides of rows and parts, in bytes
  u32 box[3];
  unsigned char rest[60];
};
static_assert(sizeof(TensorMap) == 128);

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

// Those behind ptx_sm90.cuh. Shared memory, as these count its bytes, begins at a multiple of 1024.
extern unsigned char* shared_window;
extern unsigned shared_window_bytes;
void mbarrier_init(Site site, u64* address, int arrivals);
void fence_async();
void mbarrier_arrive(Site site, const char* name, u64* address, unsigned bytes);
void mbarrier_wait(Site site, u64* address, u32 parity);
void tma_load(Site site, void* shared, const TensorMap& map, int column, int row, int part, u64* address);
void wgmma_fence(Site site);
void wgmma_commit(Site site);
void wgmma_wait(Site site, int pending_groups);
void wgmma_tf32(Site site, float* sums, u64 a, u64 b, bool add);

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
