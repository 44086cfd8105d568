// The instructions that compute capability 9.0 alone has (sm_90a), one wrapper each, as in ptx.cuh: barriers that
// count, copies of whole tiles that count on them (TMA), and products of a warp group out of shared memory.
#pragma once
#include "ptx.cuh"
#ifndef MG_CPU

// Describes an array in memory to TMA; made by the runtime (`Runtime.tensor_map`), opaque to kernels. A parameter of
// this type is declared `const __grid_constant__ TensorMap`.
struct alignas(64) TensorMap {
  u64 opaque[16];
};

// ---- mbarriers: 8 bytes of shared memory that count through one phase after another ---------------------------------

// Of a phase: it is over after so many arrivals, and after the bytes that were announced for it.
__device__ __forceinline__ void mbarrier_init(u64* barrier, int arrivals) {
  asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;\n" ::"r"(shared_address(barrier)), "r"(arrivals) : "memory");
}

// After mbarrier_init, by the same thread: TMA sees the barriers, too.
__device__ __forceinline__ void fence_async() { asm volatile("fence.proxy.async.shared::cta;\n" ::: "memory"); }

__device__ __forceinline__ void mbarrier_arrive(u64* barrier) {
  asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];\n" ::"r"(shared_address(barrier)) : "memory");
}

// An arrival, which also announces the bytes of copies.
__device__ __forceinline__ void mbarrier_expect(u64* barrier, u32 bytes) {
  asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;\n" ::"r"(shared_address(barrier)), "r"(bytes)
               : "memory");
}

// Waits for the end of the present phase if its number, counted from 0, is even and `parity` 0, or odd and 1. Else that
// phase is over, and the thread goes on; with parity 1 also before the first one. What others did before they arrived,
// and what was copied, is then visible.
__device__ __forceinline__ void mbarrier_wait(u64* barrier, u32 parity) {
  u32 over;
  do {
    asm volatile(
        "{\n.reg .pred over;\nmbarrier.try_wait.parity.shared::cta.b64 over, [%1], %2;\nselp.u32 %0, 1, 0, over;\n}\n"
        : "=r"(over)
        : "r"(shared_address(barrier)), "r"(parity)
        : "memory");
  } while (!over);
}

// Starts the copy of the box whose first number is (part, row, column), all of it, to shared memory; its bytes count on
// the barrier. Beyond the array's edges it brings zeros. One thread calls it.
__device__ __forceinline__ void tma_load(void* shared, const TensorMap& map, int column, int row, int part,
                                         u64* barrier) {
  asm volatile(
      "cp.async.bulk.tensor.3d.shared::cluster.global.tile.mbarrier::complete_tx::bytes [%0], [%1, {%2, %3, %4}], "
      "[%5];\n" ::"r"(shared_address(shared)), "l"(&map), "r"(column), "r"(row), "r"(part), "r"(shared_address(barrier))
      : "memory");
}

// ---- wgmma: products of a warp group, four warps of which the first has a number that is a multiple of four ---------

// Sums are operands of the fence and of the wait, too: so the compiler moves no other work on them beyond either.
#define MG_8(d, i)                                                                                            \
  "+f"(d[i]), "+f"(d[i + 1]), "+f"(d[i + 2]), "+f"(d[i + 3]), "+f"(d[i + 4]), "+f"(d[i + 5]), "+f"(d[i + 6]), \
      "+f"(d[i + 7])
#define MG_64(d) MG_8(d, 0), MG_8(d, 8), MG_8(d, 16), MG_8(d, 24), MG_8(d, 32), MG_8(d, 40), MG_8(d, 48), MG_8(d, 56)

// Before the first product, and whenever the sums have been touched since the last one.
__device__ __forceinline__ void wgmma_fence(float (&d)[64]) {
  asm volatile("wgmma.fence.sync.aligned;\n" : MG_64(d)::"memory");
}

// Ends a group of products: those since the last group.
__device__ __forceinline__ void wgmma_commit() { asm volatile("wgmma.commit_group.sync.aligned;\n" ::: "memory"); }

// Waits until at most the N latest groups are still under way. Before that nobody touches their sums or their factors.
template <int N>
__device__ __forceinline__ void wgmma_wait(float (&d)[64]) {
  asm volatile("wgmma.wait_group.sync.aligned %64;\n" : MG_64(d) : "n"(N) : "memory");
}

// d (64, 128) = a (64, 8) b (8, 128), plus d if `add`. a and b are TF32 in shared memory, with k side by side, told by
// descriptors (wgmma_tile.cuh). Thread t of the group, with w = t / 32, g = t % 32 / 4 and q = t % 4, holds
//   d[4 j + e]: row 16 w + g + 8 (e >> 1), column 8 j + 2 q + (e & 1)
__device__ __forceinline__ void wgmma_tf32(float (&d)[64], u64 a, u64 b, bool add) {
  asm volatile(
      "{\n.reg .pred add;\nsetp.ne.b32 add, %66, 0;\n"
      "wgmma.mma_async.sync.aligned.m64n128k8.f32.tf32.tf32 "
      "{%0,%1,%2,%3,%4,%5,%6,%7,%8,%9,%10,%11,%12,%13,%14,%15,%16,%17,%18,%19,%20,%21,%22,%23,%24,%25,%26,%27,%28,%29,"
      "%30,%31,%32,%33,%34,%35,%36,%37,%38,%39,%40,%41,%42,%43,%44,%45,%46,%47,%48,%49,%50,%51,%52,%53,%54,%55,%56,%57,"
      "%58,%59,%60,%61,%62,%63}, %64, %65, add, 1, 1;\n}\n"
      : MG_64(d)
      : "l"(a), "l"(b), "r"((int)add));
}
#undef MG_8
#undef MG_64
#endif
