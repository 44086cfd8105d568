// Every inline-PTX instruction that the kernels use on any chip, one wrapper each; those of compute capability 9.0 alone
// are in ptx_sm90.cuh, and nowhere else is there PTX. The emulator gives each wrapper the same meaning in C++.
#pragma once
#include "common.cuh"
#ifndef MG_CPU

__device__ __forceinline__ u32 shared_address(const void* p) { return (u32)__cvta_generic_to_shared(p); }

#if __CUDA_ARCH__ >= 800
// Copies 16 bytes from global to shared memory without passing through registers; of the 16 the first `bytes` are read,
// the rest become 0. Both addresses are multiples of 16. Asynchronous: see cp_async_wait.
__device__ __forceinline__ void cp_async16(void* shared, const void* global, int bytes) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;\n" ::"r"(shared_address(shared)), "l"(global), "r"(bytes));
}

// The same for 8 bytes; `bytes` is 8, 4 or 0.
__device__ __forceinline__ void cp_async8(void* shared, const void* global, int bytes) {
  asm volatile("cp.async.ca.shared.global [%0], [%1], 8, %2;\n" ::"r"(shared_address(shared)), "l"(global), "r"(bytes));
}

// The same for 4 bytes; `bytes` is 4 or 0.
__device__ __forceinline__ void cp_async4(void* shared, const void* global, int bytes) {
  asm volatile("cp.async.ca.shared.global [%0], [%1], 4, %2;\n" ::"r"(shared_address(shared)), "l"(global), "r"(bytes));
}

// Ends a group of asynchronous copies: those of this thread since the last group.
__device__ __forceinline__ void cp_async_commit() { asm volatile("cp.async.commit_group;\n" ::); }

// Waits until at most the N latest groups of this thread are still under way. The data of the others is then visible
// to this thread; to the block after a barrier.
template <int N>
__device__ __forceinline__ void cp_async_wait() {
  asm volatile("cp.async.wait_group %0;\n" ::"n"(N));
}
#else
// Turing has no asynchronous copies: they take place at once, by way of registers, and there is nothing to wait for.
template <int WORDS>
__device__ __forceinline__ void copy_words(void* to, const void* from, int bytes) {
#pragma unroll
  for (int i = 0; i < WORDS; i++) ((u32*)to)[i] = 4 * i < bytes ? ((const u32*)from)[i] : 0;
}
__device__ __forceinline__ void cp_async16(void* to, const void* from, int bytes) { copy_words<4>(to, from, bytes); }
__device__ __forceinline__ void cp_async8(void* to, const void* from, int bytes) { copy_words<2>(to, from, bytes); }
__device__ __forceinline__ void cp_async4(void* to, const void* from, int bytes) { copy_words<1>(to, from, bytes); }
__device__ __forceinline__ void cp_async_commit() {}
template <int N>
__device__ __forceinline__ void cp_async_wait() {}
#endif

// Rounds to TF32 (10 bits of mantissa), ties away from zero.
__device__ __forceinline__ u32 to_tf32(float x) {
  u32 r;
  asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(r) : "f"(x));
  return r;
}

// d (16, 8) += a (16, 8) b (8, 8) by the 32 threads of a warp. Lane l, with g = l / 4 and q = l % 4, holds
//   a[e]: row g + 8 (e & 1), column q + 4 (e >> 1)      b[e]: row q + 4 e, column g
//   d[e]: row g + 8 (e >> 1), column 2 q + (e & 1)
__device__ __forceinline__ void mma_tf32(float (&d)[4], const u32 (&a)[4], const u32 (&b)[2]) {
  asm volatile(
      "mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0,%1,%2,%3},{%4,%5,%6,%7},{%8,%9},{%0,%1,%2,%3};\n"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}
#endif
