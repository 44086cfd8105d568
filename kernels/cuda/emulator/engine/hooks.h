// What the compiler's thread-sanitizer pass calls before each load and store, in place of the sanitizer's own runtime.
#pragma once
#include "memory_check.h"

// The access, as an offset in the library: a call returns to the instruction after it.
#define MG_INSTRUCTION ((u32)((const char*)__builtin_return_address(0) - 1 - mg::__ehdr_start))
#define MG_HOOK(name, size, writes) \
  extern "C" void name(void* address) { \
    if (mg::current) \
      mg::check({(uintptr_t)address, size, writes, false, MG_INSTRUCTION}); \
  }
MG_HOOK(__tsan_read1, 1, false) MG_HOOK(__tsan_read2, 2, false) MG_HOOK(__tsan_read4, 4, false)
MG_HOOK(__tsan_read8, 8, false) MG_HOOK(__tsan_read16, 16, false) MG_HOOK(__tsan_write1, 1, true)
MG_HOOK(__tsan_write2, 2, true) MG_HOOK(__tsan_write4, 4, true) MG_HOOK(__tsan_write8, 8, true)
MG_HOOK(__tsan_write16, 16, true) MG_HOOK(__tsan_unaligned_read2, 2, false) MG_HOOK(__tsan_unaligned_read4, 4, false)
MG_HOOK(__tsan_unaligned_read8, 8, false) MG_HOOK(__tsan_unaligned_read16, 16, false)
MG_HOOK(__tsan_unaligned_write2, 2, true) MG_HOOK(__tsan_unaligned_write4, 4, true)
MG_HOOK(__tsan_unaligned_write8, 8, true) MG_HOOK(__tsan_unaligned_write16, 16, true)
#undef MG_HOOK
#define MG_HOOK(name, writes) \
  extern "C" void name(void* address, unsigned long size) { \
    if (mg::current) \
      mg::check({(uintptr_t)address, (unsigned)size, writes, false, MG_INSTRUCTION}); \
  }
MG_HOOK(__tsan_read_range, false) MG_HOOK(__tsan_write_range, true)
#undef MG_HOOK
extern "C" void __tsan_init() {}
extern "C" void __tsan_func_entry(void*) {}
extern "C" void __tsan_func_exit() {}
// In place of the C library's, where the compiler copies or clears something large.
extern "C" void* __tsan_memcpy(void* to, const void* from, size_t size) {
  if (mg::current && size) {
    mg::check({(uintptr_t)from, (unsigned)size, false, false, MG_INSTRUCTION});
    mg::check({(uintptr_t)to, (unsigned)size, true, false, MG_INSTRUCTION});
  }
  return memmove(to, from, size);
}
extern "C" void* __tsan_memmove(void* to, const void* from, size_t size) __attribute__((alias("__tsan_memcpy")));
extern "C" void* __tsan_memset(void* to, int byte, size_t size) {
  if (mg::current && size) mg::check({(uintptr_t)to, (unsigned)size, true, false, MG_INSTRUCTION});
  return memset(to, byte, size);
}
#undef MG_INSTRUCTION
