// Asynchronous copies from global to shared memory. A copy lands when its thread waits for it, as late as it may: code
// that reads sooner finds what was there before.
#pragma once
#include "memory_check.h"

namespace mg {

void async_copy(Site site, void* shared, const void* global, unsigned width, int bytes) {
  if (((uintptr_t)shared | (uintptr_t)global) % width)
    fail(site, "cp_async%u: an address is not a multiple of %u", width, width);
  if (bytes < 0 || bytes > (int)width || (width == 4 && bytes % 4)) fail(site, "cp_async%u of %d bytes", width, bytes);
  touch(site, global, bytes, false, false);
  touch(site, shared, width, true, false);
  AsyncCopy copy{shared, global, width, (unsigned)bytes, current->group, site};
  count_copies(shared, width, 1);
  current->copies.push_back(copy);
}

void async_commit() { current->group++; }

void async_wait(int pending_groups) {
  auto& copies = current->copies;
  size_t landed = 0;
  for (; landed < copies.size() && copies[landed].group < current->group - pending_groups; landed++) {
    const AsyncCopy& copy = copies[landed];
    count_copies(copy.shared, copy.width, -1);
    touch(copy.site, copy.shared, copy.width, true, false);
    on_behalf_of = copy.site;
    memcpy(copy.shared, copy.global, copy.bytes);
    memset((char*)copy.shared + copy.bytes, 0, copy.width - copy.bytes);
  }
  copies.erase(copies.begin(), copies.begin() + landed);
}

// A thread ends. Copies that nobody has waited for are an error: whoever reads their data reads it too soon.
static void end_copies() {
  if (current->copies.empty()) return;
  const AsyncCopy& copy = current->copies[0];
  fail(copy.site, "the thread ends without having waited for this asynchronous copy");
}

}  // namespace mg
