// wgmma m64n128k8 for TF32. A product is computed as late as it may be: when a warp waits for it, the warp's quarter.
// Who overwrites the factors before that, or reads the sums, changes the result.
//
// The factors count as read by the lane that comes last to the wait, and a wgmma_wait orders the lanes of its warp as
// __syncwarp does: that the products are done is known to each of them.
#pragma once
#include "mbarrier.h"

namespace mg {

struct Wgmma {
  Site site;
  u64 a, b;
  bool add;
  float* sums[32];  // of the lanes
  int group;
};
// What a warp has under way.
struct WgmmaQueue {
  std::vector<Wgmma> products;
  int group;    // the one that is being filled
  int pending_groups;  // that the present wait leaves
  bool fenced;  // since it last waited
};
static std::vector<WgmmaQueue> wgmma_queues;  // by warp

// Threads of a warp group that wait for one another at a wgmma.
static std::vector<std::vector<Fiber*>> at_wgmma;

struct WgmmaOperands { u64 a, b; bool add; float* sums; };
static WgmmaOperands wgmma_operands[1024];  // by thread

void wgmma_tf32(Site site, float* sums, u64 a, u64 b, bool add) {
  const int group = current->id / WARP_GROUP, first = group * WARP_GROUP;
  if (threads - first < WARP_GROUP) fail(site, "wgmma_tf32 in a warp group of %d threads", threads - first);
  auto& arrived = at_wgmma[group];
  if (!arrived.empty() && arrived[0]->site.line != site.line)
    fail(site, "wgmma_tf32, while thread (%u, %u, %u) of the same warp group waits at %s:%d", arrived[0]->thread.x,
         arrived[0]->thread.y, arrived[0]->thread.z, arrived[0]->site.file, arrived[0]->site.line);
  if (!wgmma_queues[current->warp].fenced)
    fail(site, "wgmma_tf32: no wgmma_fence since the warp has begun, or has waited for products");
  wgmma_operands[current->id] = {a, b, add, sums};
  prepare_to_wait(site, "wgmma_tf32", Fiber::for_group);
  arrived.push_back(current);
  const WgmmaOperands& of_first = wgmma_operands[arrived[0]->id];
  if (a != of_first.a || b != of_first.b || add != of_first.add)
    fail(site, "wgmma_tf32: not the operands of thread (%u, %u, %u) of the same warp group", arrived[0]->thread.x,
         arrived[0]->thread.y, arrived[0]->thread.z);
  if ((int)arrived.size() == WARP_GROUP) {
    for (int warp = first / 32; warp < (first + WARP_GROUP) / 32; warp++) {
      Wgmma product{site, a, b, add, {}, wgmma_queues[warp].group};
      for (int l = 0; l < 32; l++) product.sums[l] = wgmma_operands[warp * 32 + l].sums;
      wgmma_queues[warp].products.push_back(product);
    }
    for (Fiber* fiber : arrived) fiber->waits_at = nullptr;
    release(arrived);
  }
  go_on_with_another();
}

void wgmma_fence(Site site) {
  warp_collective(site, "wgmma_fence", 0xffffffffu, current,
                  [](void* const* lanes) { wgmma_queues[((Fiber*)lanes[0])->warp].fenced = true; });
}

void wgmma_commit(Site site) {
  warp_collective(site, "wgmma_commit", 0xffffffffu, current,
                  [](void* const* lanes) { wgmma_queues[((Fiber*)lanes[0])->warp].group++; });
}

// Lines of 32 numbers, groups of eight lines, as the descriptor tells; checked for what TF32 and the swizzle ask for.
struct WgmmaMatrix {
  const char* name;
  Site site;
  u32 start, stride;

  WgmmaMatrix(const char* name, Site site, u64 descriptor)
      : name(name), site(site), start((descriptor & 0x3fff) << 4), stride((descriptor >> 32 & 0x3fff) << 4) {
    const unsigned kind = descriptor >> 62, offset = descriptor >> 49 & 7;
    if (kind != 1) fail(site, "wgmma_tf32: the descriptor of %s says swizzle %u, expected 1 (128 bytes)", name, kind);
    if (offset) fail(site, "wgmma_tf32: the descriptor of %s says base offset %u, expected 0", name, offset);
    if (start % 1024 >= 128)
      fail(site, "wgmma_tf32: %s begins at byte %u, not in the first line of a swizzle of 1024 bytes", name, start);
    if (stride % 1024)
      fail(site, "wgmma_tf32: groups of 8 lines of %s lie %u bytes apart, no multiple of a swizzle of 1024 bytes", name,
           stride);
  }
  // Eight steps of k of a line: two pieces of 16 bytes.
  void line(int number, float* to) const {
    for (u32 piece = 0; piece < 2; piece++) {
      const u32 address = swizzled(start + number / 8 * stride + number % 8 * 128 + piece * 16);
      if (address + 16 > shared_window_bytes)
        fail(site, "wgmma_tf32: line %d of %s lies beyond shared memory", number, name);
      touch(site, shared_window + address, 16, false, false);
      memcpy(to + piece * 4, shared_window + address, 16);
    }
    for (int k = 0; k < 8; k++) to[k] = __builtin_bit_cast(float, __builtin_bit_cast(u32, to[k]) & ~0x1fffu);
  }
};

// The quarter of a warp: 16 lines of a, all of b.
static void compute(const Wgmma& product, int warp_of_group) {
  static float a[16][8], b[8][128], sums[16][128];
  on_behalf_of = product.site;
  const WgmmaMatrix from_a("a", product.site, product.a), from_b("b", product.site, product.b);
  for (int i = 0; i < 16; i++) from_a.line(16 * warp_of_group + i, a[i]);
  for (int j = 0; j < 128; j++) {
    float line[8];
    from_b.line(j, line);
    for (int k = 0; k < 8; k++) b[k][j] = line[k];
  }
  auto each = [&](auto visit) {
    for (int lane = 0; lane < 32; lane++)
      for (int e = 0; e < 64; e++)
        visit(sums[lane / 4 + 8 * (e >> 1 & 1)][e / 4 * 8 + 2 * (lane % 4) + (e & 1)], product.sums[lane][e]);
  };
  each([&](float& sum, float of_thread) { sum = product.add ? of_thread : 0; });
  for (int i = 0; i < 16; i++)
    for (int k = 0; k < 8; k++)
      for (int j = 0; j < 128; j++) sums[i][j] += a[i][k] * b[k][j];
  each([&](float sum, float& of_thread) { of_thread = sum; });
}

void wgmma_wait(Site site, int pending_groups) {
  WgmmaQueue& mine = wgmma_queues[current->warp];
  mine.pending_groups = pending_groups;
  warp_collective(site, "wgmma_wait", 0xffffffffu, current, [](void* const* lanes) {
    WgmmaQueue& queue = wgmma_queues[current->warp];
    size_t done = 0;
    for (; done < queue.products.size() && queue.products[done].group < queue.group - queue.pending_groups; done++)
      compute(queue.products[done], current->warp % 4);
    queue.products.erase(queue.products.begin(), queue.products.begin() + done);
    queue.fenced = false;
    join_clocks((Fiber* const*)lanes);  // each of them knows now that the factors have been read
  });
}

// A thread ends.
static void end_wgmma() {
  const auto& products = wgmma_queues[current->warp].products;
  if (!products.empty()) fail(products[0].site, "the thread ends without having waited for this wgmma");
}

static void start_wgmma() {
  const int warps = (threads + 31) / 32;
  wgmma_queues.assign(warps, WgmmaQueue{});
  at_wgmma.assign((threads + WARP_GROUP - 1) / WARP_GROUP, {});
}

}  // namespace mg
