// How one fiber hands the processor to another: the registers that a function must preserve go to its stack, the stack
// pointers are exchanged, and those of the other come back.
#pragma once

// Saves the caller's context in *save and goes on with the one that `load` stands for.
extern "C" void mg_switch(void** save, void* load);

#if defined(__x86_64__)
asm(R"(
.text
.globl mg_switch
.hidden mg_switch
.type mg_switch, @function
mg_switch:
  push %rbp
  push %rbx
  push %r12
  push %r13
  push %r14
  push %r15
  mov %rsp, (%rdi)
  mov %rsi, %rsp
  pop %r15
  pop %r14
  pop %r13
  pop %r12
  pop %rbx
  pop %rbp
  ret
.size mg_switch, .-mg_switch
)");
// A stack that was never run: FRAME bytes of saved registers, in which word ENTRY is where `ret` goes. The odd word
// keeps the stack 16-byte aligned at the entry of a function, less the return address.
static constexpr int FRAME = 64, ENTRY = 6;
#elif defined(__aarch64__)
asm(R"(
.text
.globl mg_switch
.hidden mg_switch
.type mg_switch, %function
mg_switch:
  sub sp, sp, #160
  stp x19, x20, [sp]
  stp x21, x22, [sp, #16]
  stp x23, x24, [sp, #32]
  stp x25, x26, [sp, #48]
  stp x27, x28, [sp, #64]
  stp x29, x30, [sp, #80]
  stp d8, d9, [sp, #96]
  stp d10, d11, [sp, #112]
  stp d12, d13, [sp, #128]
  stp d14, d15, [sp, #144]
  mov x9, sp
  str x9, [x0]
  mov sp, x1
  ldp x19, x20, [sp]
  ldp x21, x22, [sp, #16]
  ldp x23, x24, [sp, #32]
  ldp x25, x26, [sp, #48]
  ldp x27, x28, [sp, #64]
  ldp x29, x30, [sp, #80]
  ldp d8, d9, [sp, #96]
  ldp d10, d11, [sp, #112]
  ldp d12, d13, [sp, #128]
  ldp d14, d15, [sp, #144]
  add sp, sp, #160
  ret
.size mg_switch, .-mg_switch
)");
static constexpr int FRAME = 160, ENTRY = 11;
#else
#error "the CUDA emulator switches fibers on x86-64 and AArch64 only"
#endif
