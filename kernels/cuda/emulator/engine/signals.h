// An access to memory that is not there, or a trap, ends the launch and not the process.
#pragma once
#include <csignal>
#include <pthread.h>
#include <ucontext.h>

#include "fibers.h"
#include "memory_check.h"

namespace mg {

static pthread_t launching;

static const void* instruction_of(void* context) {
  auto* state = (ucontext_t*)context;
#if defined(__x86_64__)
  return (const void*)state->uc_mcontext.gregs[REG_RIP];
#else
  return (const void*)state->uc_mcontext.pc;
#endif
}

// For the time of a launch, the handler of the signals that a wild kernel raises; on a stack of its own, because the
// fiber's may be what ran out.
class Signals {
 public:
  Signals() {
    launching = pthread_self();
    stack_t mine{};
    mine.ss_sp = memory;
    mine.ss_size = sizeof memory;
    sigaltstack(&mine, &old_stack);
    struct sigaction action {};
    action.sa_sigaction = handle;
    action.sa_flags = SA_SIGINFO | SA_NODEFER | SA_ONSTACK;
    for (int i = 0; i < count; i++) sigaction(numbers[i], &action, &old[i]);
  }
  ~Signals() {
    for (int i = 0; i < count; i++) sigaction(numbers[i], &old[i], nullptr);
    sigaltstack(&old_stack, nullptr);
  }

 private:
  static constexpr int count = 4;
  static constexpr int numbers[count] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE};
  static inline struct sigaction old[count];
  static inline char memory[64 << 10];
  stack_t old_stack;

  static void handle(int number, siginfo_t* info, void* context) {
    if (!pthread_equal(launching, pthread_self()) || !current) {  // not ours: raised again, for the handler before
      for (int i = 0; i < count; i++)
        if (numbers[i] == number) sigaction(number, &old[i], nullptr);
      return;
    }
    const char* address = (const char*)info->si_addr;
    const char* instruction = (const char*)instruction_of(context);
    const bool of_kernel = instruction >= __ehdr_start && instruction < _end;
    const Site site = of_kernel ? at(instruction) : on_behalf_of;
    if (number == SIGILL) fail(site, "a trap: the kernel has asked to be stopped");
    if (number == SIGFPE) fail(site, "an integer division by zero");
    if (address < (const char*)4096) fail(site, "an access through a null pointer");
    fail(site, "an access to memory that is not there, or may not be touched (%p)", (const void*)address);
  }
};

}  // namespace mg
