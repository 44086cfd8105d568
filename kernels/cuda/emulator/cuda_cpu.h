// cuda_cpu.h -- run CUDA C++ kernels on the CPU for numerical tests: one fiber per CUDA thread.
// Strict on purpose: shared memory is poisoned, cp.async lands only at its wait, thread order can be
// permuted, and divergent barriers / wrong shuffle masks are errors rather than luck.
#pragma once
#define MG_CPU 1
#include <atomic>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>
#include <csignal>
#include <sys/mman.h>

// ---- language -------------------------------------------------------------------------------
#define __global__
#define __device__
#define __host__
#define __constant__ static
#define __shared__ static __attribute__((section("mgshared")))
#define __forceinline__ inline __attribute__((always_inline))
#define __noinline__ __attribute__((noinline))
#define __align__(n) __attribute__((aligned(n)))
#define __launch_bounds__(...)
#define __grid_constant__
#define MG_INF __builtin_inff()
typedef unsigned int u32; typedef unsigned long long u64;
#define MG_VEC(T, N, A, ...) struct alignas(A) T##N { T __VA_ARGS__; };
typedef unsigned int uint; typedef unsigned char uchar;
MG_VEC(float, 2, 8, x, y) MG_VEC(float, 4, 16, x, y, z, w) MG_VEC(int, 2, 8, x, y) MG_VEC(int, 4, 16, x, y, z, w)
MG_VEC(uint, 2, 8, x, y) MG_VEC(uint, 4, 16, x, y, z, w) MG_VEC(uchar, 4, 4, x, y, z, w) MG_VEC(double, 2, 16, x, y)
inline float2 make_float2(float x, float y) { return {x, y}; }
inline float4 make_float4(float x, float y, float z, float w) { return {x, y, z, w}; }
inline int2 make_int2(int x, int y) { return {x, y}; }
inline int4 make_int4(int x, int y, int z, int w) { return {x, y, z, w}; }
inline uint2 make_uint2(uint x, uint y) { return {x, y}; }
inline uint4 make_uint4(uint x, uint y, uint z, uint w) { return {x, y, z, w}; }
struct uint3 { unsigned x, y, z; };
struct dim3 { unsigned x, y, z; };

// ---- fibers ---------------------------------------------------------------------------------
extern "C" __attribute__((visibility("hidden"))) void mg_switch(void** save, void* load);
#if defined(__x86_64__)
asm(".text\n.globl mg_switch\n.hidden mg_switch\n.type mg_switch,@function\nmg_switch:\n"
    "push %rbp\npush %rbx\npush %r12\npush %r13\npush %r14\npush %r15\nmov %rsp,(%rdi)\nmov %rsi,%rsp\n"
    "pop %r15\npop %r14\npop %r13\npop %r12\npop %rbx\npop %rbp\nret\n.size mg_switch,.-mg_switch\n");
static constexpr int MG_FRAME = 64, MG_PC = 6;
#elif defined(__aarch64__)
asm(".text\n.globl mg_switch\n.hidden mg_switch\n.type mg_switch,%function\nmg_switch:\n"
    "sub sp,sp,#160\nstp x19,x20,[sp]\nstp x21,x22,[sp,#16]\nstp x23,x24,[sp,#32]\nstp x25,x26,[sp,#48]\n"
    "stp x27,x28,[sp,#64]\nstp x29,x30,[sp,#80]\nstp d8,d9,[sp,#96]\nstp d10,d11,[sp,#112]\nstp d12,d13,[sp,#128]\n"
    "stp d14,d15,[sp,#144]\nmov x9,sp\nstr x9,[x0]\nmov sp,x1\nldp x19,x20,[sp]\nldp x21,x22,[sp,#16]\n"
    "ldp x23,x24,[sp,#32]\nldp x25,x26,[sp,#48]\nldp x27,x28,[sp,#64]\nldp x29,x30,[sp,#80]\nldp d8,d9,[sp,#96]\n"
    "ldp d10,d11,[sp,#112]\nldp d12,d13,[sp,#128]\nldp d14,d15,[sp,#144]\nadd sp,sp,#160\nret\n");
static constexpr int MG_FRAME = 160, MG_PC = 11;
#else
#error "cuda_cpu.h: no context switch for this CPU"
#endif
extern "C" { extern char __start_mgshared[] __attribute__((weak, visibility("hidden"))); extern char __stop_mgshared[] __attribute__((weak, visibility("hidden"))); }

namespace emu {
struct Copy { void* dst; const void* src; int n, bytes, group; };
struct Fiber { void* sp; uint3 tid; int id, lane, warp, site; unsigned mask; bool done; int group; std::vector<Copy> pend; };
struct Warp { void* arg[32]; unsigned arrived[4], masks[4]; int site[4]; };
struct Cfg { unsigned grid[3], block[3]; unsigned smem; int order; unsigned seed; int poison; };  // order 0 fwd 1 rev 2 random
static constexpr size_t STACK = 128 << 10;
static Fiber* cur; static uint3 bid; static dim3 bdim, gdim;
static std::vector<Fiber> fib; static std::vector<Warp> warps; static std::vector<int> ready; static size_t rhead;
static std::vector<int> waiting; static int live, nth, bsite, bval[3], bres[3]; static void* main_sp; static char* stacks; static size_t nstacks;
static Cfg cfg; static void (*thunk)(void*); static void* tctx; static char err[512]; static bool failed;
static unsigned char* dyn; static size_t dyncap; static unsigned long long rng, switches;

inline unsigned rnd() { rng = rng * 6364136223846793005ull + 1442695040888963407ull; return rng >> 33; }
inline void push(std::vector<int>& v) {  // release a set of fibers in the configured order
  if (cfg.order == 1) for (size_t i = v.size(); i-- > 0;) ready.push_back(v[i]);
  else { if (cfg.order == 2) for (size_t i = v.size(); i > 1; i--) std::swap(v[i - 1], v[rnd() % i]);
    ready.insert(ready.end(), v.begin(), v.end()); }
  v.clear();
}
__attribute__((noinline)) inline void yield_() {  // run the next ready fiber, or go back to the launcher
  Fiber* me = cur; switches++;
  if (rhead == ready.size()) { ready.clear(); rhead = 0; cur = nullptr; mg_switch(&me->sp, main_sp); return; }
  cur = &fib[ready[rhead++]];
  if (rhead > 4096) { ready.erase(ready.begin(), ready.begin() + rhead); rhead = 0; }
  if (cur != me) mg_switch(&me->sp, cur->sp);
}
[[noreturn]] __attribute__((noinline)) inline void fail(const char* what, int line) {
  if (!failed) snprintf(err, sizeof err, "%s (line %d, block %u,%u,%u thread %u,%u,%u)", what, line, bid.x, bid.y, bid.z, cur->tid.x, cur->tid.y, cur->tid.z);
  failed = true; void* dead; mg_switch(&dead, main_sp); abort();
}
inline void release_block() { for (int k = 0; k < 3; k++) bres[k] = bval[k]; bval[0] = 0; bval[1] = 1; bval[2] = 0; push(waiting); }
inline void barrier(int site, int pred = 0) {
  if (waiting.empty()) bsite = site;
  else if (bsite != site) fail("__syncthreads reached from two different lines", site);
  bval[0] += pred != 0; bval[1] &= pred != 0; bval[2] |= pred != 0;
  waiting.push_back(cur->id); cur->site = site;
  if ((int)waiting.size() == live) release_block();
  yield_();
}
static constexpr unsigned FULL = 0xffffffffu;
template <class F> inline void collective(unsigned mask, int site, void* arg, F fn) {  // fn runs once, when all lanes of mask are here
  Warp& w = warps[cur->warp]; w.arg[cur->lane] = arg;
  if (!(mask >> cur->lane & 1)) fail("warp op: calling lane is not in its mask", site);
  int g = 0; while (g < 4 && w.arrived[g] && w.masks[g] != mask) g++;
  if (g == 4) fail("warp op: too many different masks in flight", site);
  if (!w.arrived[g]) { w.masks[g] = mask; w.site[g] = site; }
  else if (w.site[g] != site) fail("warp op: lanes of one mask at different operations", site);
  w.arrived[g] |= 1u << cur->lane; cur->site = site;
  if (w.arrived[g] == mask) {
    w.arrived[g] = 0; fn(w.arg);
    static std::vector<int> rel; for (int l = 0; l < 32; l++) if ((mask >> l & 1) && l != cur->lane) rel.push_back(cur->warp * 32 + l);
    push(rel);
  } else yield_();
}
inline void fiber_main() {
  for (;;) {
    thunk(tctx);
    cur->done = true; live--;
    if (live > 0 && (int)waiting.size() == live) release_block();  // exited threads do not count
    yield_();
  }
}
inline void on_segv(int sig, siginfo_t* si, void*) {  // out-of-bounds access that reached a guard page
  if (!cur) _exit(139);
  snprintf(err, sizeof err, "%s at %p (block %u,%u,%u thread %u,%u,%u)", sig == SIGILL ? "undefined behaviour (UBSan trap: misaligned vector, bad index...)" : "invalid memory access", si->si_addr, bid.x, bid.y, bid.z, cur->tid.x, cur->tid.y, cur->tid.z);
  failed = true; void* dead; mg_switch(&dead, main_sp);
}
struct Guard {  // SIGSEGV -> error return, for the time of one launch
  struct sigaction old[3]; stack_t olds; char* alt;
  Guard() { alt = (char*)malloc(65536); stack_t s{}; s.ss_sp = alt; s.ss_size = 65536; sigaltstack(&s, &olds);
    struct sigaction a{}; a.sa_sigaction = on_segv; a.sa_flags = SA_SIGINFO | SA_NODEFER | SA_ONSTACK; sigaction(SIGSEGV, &a, &old[0]); sigaction(SIGBUS, &a, &old[1]); sigaction(SIGILL, &a, &old[2]); }
  ~Guard() { sigaction(SIGSEGV, &old[0], nullptr); sigaction(SIGBUS, &old[1], nullptr); sigaction(SIGILL, &old[2], nullptr); sigaltstack(&olds, nullptr); free(alt); }
};
inline int run(const Cfg* c) {
  Guard guard; cfg = *c; gdim = {c->grid[0], c->grid[1], c->grid[2]}; bdim = {c->block[0], c->block[1], c->block[2]};
  nth = bdim.x * bdim.y * bdim.z; rng = c->seed * 2654435761u + 1; failed = false; switches = 0;
  if (nth < 1 || nth > 1024) { snprintf(err, sizeof err, "bad block size %d", nth); return 1; }
  if (gdim.y > 65535 || gdim.z > 65535 || gdim.x > 0x7fffffffu || !gdim.x || !gdim.y || !gdim.z) { snprintf(err, sizeof err, "bad grid %u,%u,%u", gdim.x, gdim.y, gdim.z); return 1; }
  if (c->smem > 227 * 1024) { snprintf(err, sizeof err, "dynamic shared memory %u > 227 KiB", c->smem); return 1; }
  if ((size_t)nth > nstacks) {
    if (stacks) munmap(stacks, nstacks * STACK);
    stacks = (char*)mmap(nullptr, nth * STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0); nstacks = nth;
  }
  if (dyncap < c->smem + 128) { free(dyn); dyncap = c->smem + 128; dyn = (unsigned char*)aligned_alloc(128, (dyncap + 127) / 128 * 128); }
  fib.assign(nth, Fiber{}); warps.assign((nth + 31) / 32, Warp{});
  for (int i = 0; i < nth; i++) {
    Fiber& f = fib[i]; f.id = i; f.lane = i & 31; f.warp = i >> 5;
    f.tid = {i % bdim.x, i / bdim.x % bdim.y, i / (bdim.x * bdim.y)};
    void** sp = (void**)(stacks + (i + 1) * STACK - MG_FRAME); sp[MG_PC] = (void*)fiber_main; f.sp = sp;
  }
  for (unsigned z = 0; z < gdim.z; z++) for (unsigned y = 0; y < gdim.y; y++) for (unsigned x = 0; x < gdim.x; x++) {
    bid = {x, y, z}; live = nth; waiting.clear(); ready.clear(); rhead = 0; bval[0] = 0; bval[1] = 1; bval[2] = 0;
    if (cfg.poison) { memset(dyn, 0xff, c->smem); if (__start_mgshared) memset(__start_mgshared, 0xff, __stop_mgshared - __start_mgshared); }
    std::vector<int> all(nth); for (int i = 0; i < nth; i++) { all[i] = i; fib[i].done = false; fib[i].pend.clear(); fib[i].group = 0; }
    push(all); cur = &fib[ready[rhead++]]; mg_switch(&main_sp, cur->sp);
    if (failed) return 2;
    if (live) { int i = 0; while (fib[i].done) i++;
      snprintf(err, sizeof err, "deadlock: %d of %d threads wait, e.g. thread %u,%u,%u at line %d (block %u,%u,%u)", live, nth, fib[i].tid.x, fib[i].tid.y, fib[i].tid.z, fib[i].site, x, y, z); return 3; }
  }
  return 0;
}
template <class... A, size_t... I> int launch_(void (*k)(A...), const Cfg* c, void** args, std::index_sequence<I...>) {
  struct Ctx { void (*k)(A...); void** a; } ctx{k, args}; tctx = &ctx;
  thunk = [](void* p) { Ctx& x = *(Ctx*)p; x.k(*(std::remove_cv_t<A>*)x.a[I]...); };
  return run(c);
}
template <class... A> int launch(void (*k)(A...), const Cfg* c, void** args) { return launch_(k, c, args, std::index_sequence_for<A...>{}); }

// The type of a parameter as NumPy writes it: "f4", "i4", of a pointer "*f4"; "*" alone for types that it has no name for.
template <class T> std::string kind() {
  using U = std::remove_cv_t<T>;
  if constexpr (std::is_pointer_v<U>) { std::string k = kind<std::remove_pointer_t<U>>(); return k[0] == '*' || k == "x" ? "*" : "*" + k; }
  else if constexpr (std::is_same_v<U, bool>) return "b1";
  else if constexpr (std::is_floating_point_v<U>) return "f" + std::to_string(sizeof(U));
  else if constexpr (std::is_integral_v<U>) return (std::is_signed_v<U> ? "i" : "u") + std::to_string(sizeof(U));
  else return "x";
}
template <class... A> const char* sig(void (*)(A...)) {
  static std::string s; s.clear(); ((s += kind<A>() + ","), ...); if (!s.empty()) s.pop_back(); return s.c_str();
}
}  // namespace emu
#define MG_EXPORT(i, ...) extern "C" int mg_launch_##i(const emu::Cfg* c, void** a) { return emu::launch(&__VA_ARGS__, c, a); } \
                          extern "C" const char* mg_sig_##i() { return emu::sig(&__VA_ARGS__); }
extern "C" const char* mg_error() { return emu::err; }
extern "C" unsigned long long mg_switches() { return emu::switches; }

// ---- built-ins ------------------------------------------------------------------------------
#define threadIdx (::emu::cur->tid)
#define blockIdx (::emu::bid)
#define blockDim (::emu::bdim)
#define gridDim (::emu::gdim)
#define warpSize 32
#define MG_DYN_SHARED(T, name) T* name = reinterpret_cast<T*>(::emu::dyn)
#define __syncthreads() ::emu::barrier(__LINE__)
inline int mg_sync_pred(int line, int p, int k) { emu::barrier(line, p); return emu::bres[k]; }
#define __syncthreads_count(p) mg_sync_pred(__LINE__, p, 0)
#define __syncthreads_and(p) mg_sync_pred(__LINE__, p, 1)
#define __syncthreads_or(p) mg_sync_pred(__LINE__, p, 2)
template <class T> inline T mg_shfl(int line, unsigned mask, T v, int src) {  // src = absolute lane
  struct R { T v; int src; T out; } r{v, src, v};
  emu::collective(mask, line, &r, [mask](void** a) { for (int l = 0; l < 32; l++) if (mask >> l & 1) { R& x = *(R*)a[l]; x.out = (mask >> x.src & 1) ? ((R*)a[x.src])->v : x.v; } });
  return r.out;
}
inline int mg_lane() { return emu::cur->lane; }
inline int mg_seg(int s, int w) { int l = mg_lane(); return (s < (l & ~(w - 1)) || s > (l | (w - 1))) ? l : s; }
#define MG_3(_1, _2, _3, _4, NAME, ...) NAME
template <class T> inline T mg_xor(int n, unsigned m, T v, int o, int w = 32) { return mg_shfl(n, m, v, mg_seg(mg_lane() ^ o, w)); }
template <class T> inline T mg_down(int n, unsigned m, T v, int o, int w = 32) { return mg_shfl(n, m, v, mg_seg(mg_lane() + o, w)); }
template <class T> inline T mg_up(int n, unsigned m, T v, int o, int w = 32) { return mg_shfl(n, m, v, mg_seg(mg_lane() - o, w)); }
template <class T> inline T mg_idx(int n, unsigned m, T v, int s, int w = 32) { return mg_shfl(n, m, v, (mg_lane() & ~(w - 1)) | (s & (w - 1))); }
#define __shfl_xor_sync(...) mg_xor(__LINE__, __VA_ARGS__)
#define __shfl_down_sync(...) mg_down(__LINE__, __VA_ARGS__)
#define __shfl_up_sync(...) mg_up(__LINE__, __VA_ARGS__)
#define __shfl_sync(...) mg_idx(__LINE__, __VA_ARGS__)
inline unsigned mg_ballot(int line, unsigned mask, int p) {
  struct R { int p; unsigned out; } r{p, 0};
  emu::collective(mask, line, &r, [mask](void** a) { unsigned b = 0; for (int l = 0; l < 32; l++) if ((mask >> l & 1) && ((R*)a[l])->p) b |= 1u << l;
    for (int l = 0; l < 32; l++) if (mask >> l & 1) ((R*)a[l])->out = b; });
  return r.out;
}
#define __ballot_sync(m, p) mg_ballot(__LINE__, m, (p) != 0)
#define __any_sync(m, p) (mg_ballot(__LINE__, m, (p) != 0) != 0)
#define __all_sync(m, p) (mg_ballot(__LINE__, m, (p) == 0) == 0)
#define __syncwarp(...) (void)mg_ballot(__LINE__, ::emu::FULL, 0)
template <class T> inline T atomicAdd(T* p, std::type_identity_t<T> v) { return std::atomic_ref<T>(*p).fetch_add(v); }
template <class T> inline T atomicExch(T* p, std::type_identity_t<T> v) { return std::atomic_ref<T>(*p).exchange(v); }
template <class T> inline T atomicCAS(T* p, T c, T v) { std::atomic_ref<T>(*p).compare_exchange_strong(c, v); return c; }
inline void __threadfence() {} inline void __threadfence_block() {}
template <class T> inline T __ldg(const T* p) { return *p; }
template <class A, class B> inline auto min(A a, B b) { return b < a ? b : a; }
template <class A, class B> inline auto max(A a, B b) { return a < b ? b : a; }
inline float __expf(float x) { return expf(x); } inline float __logf(float x) { return logf(x); } inline float rsqrtf(float x) { return 1.f / sqrtf(x); }
inline float __fdividef(float a, float b) { return a / b; } inline float __frcp_rn(float a) { return 1.f / a; }
inline u32 __float_as_uint(float f) { u32 u; memcpy(&u, &f, 4); return u; } inline float __uint_as_float(u32 u) { float f; memcpy(&f, &u, 4); return f; }
inline int __float_as_int(float f) { return (int)__float_as_uint(f); } inline float __int_as_float(int u) { return __uint_as_float((u32)u); }
inline u32 __umulhi(u32 a, u32 b) { return (u32)((unsigned long long)a * b >> 32); }
inline int __popc(u32 x) { return __builtin_popcount(x); } inline int __ffs(int x) { return __builtin_ffs(x); } inline int __clz(int x) { return x ? __builtin_clz(x) : 32; }
// ---- the instructions ptx.cuh wraps -----------------------------------------------------------
inline void mg_cp(void* d, const void* s, int n, int bytes) { emu::cur->pend.push_back({d, s, n, bytes, emu::cur->group}); }
inline void cp_async16(void* d, const void* s, int bytes) { if (((uintptr_t)d | (uintptr_t)s) & 15) emu::fail("cp.async 16: misaligned address", __LINE__); mg_cp(d, s, 16, bytes); }
inline void cp_async4(void* d, const void* s, int bytes) { mg_cp(d, s, 4, bytes); }
inline void cp_async_commit() { emu::cur->group++; }
template <int N> inline void cp_async_wait() {  // the copy becomes visible here and not before
  auto& p = emu::cur->pend; size_t k = 0;
  for (; k < p.size() && p[k].group < emu::cur->group - N; k++) { memcpy(p[k].dst, p[k].src, p[k].bytes); memset((char*)p[k].dst + p[k].bytes, 0, p[k].n - p[k].bytes); }
  p.erase(p.begin(), p.begin() + k);
}
inline u32 to_tf32(float x) { u32 u = __float_as_uint(x); if ((u & 0x7f800000u) == 0x7f800000u) return u; return (u + 0x1000u) & ~0x1fffu; }  // rna
inline void mg_mma(int line, float (&d)[4], const u32 (&a)[4], const u32 (&b)[2]) {
  struct R { float* d; const u32 *a, *b; } r{d, a, b};
  emu::collective(emu::FULL, line, &r, [](void** v) {  // PTX ISA, m16n8k8 .tf32 fragment layout
    float A[16][8], B[8][8], C[16][8];
    for (int l = 0; l < 32; l++) { R& x = *(R*)v[l]; int g = l >> 2, q = l & 3;
      for (int e = 0; e < 4; e++) { A[g + (e & 1) * 8][q + (e >> 1) * 4] = __uint_as_float(x.a[e] & ~0x1fffu); C[g + (e >> 1) * 8][q * 2 + (e & 1)] = x.d[e]; }
      for (int e = 0; e < 2; e++) B[q + e * 4][g] = __uint_as_float(x.b[e] & ~0x1fffu); }
    for (int i = 0; i < 16; i++) for (int k = 0; k < 8; k++) for (int j = 0; j < 8; j++) C[i][j] += A[i][k] * B[k][j];
    for (int l = 0; l < 32; l++) { R& x = *(R*)v[l]; for (int e = 0; e < 4; e++) x.d[e] = C[(l >> 2) + (e >> 1) * 8][(l & 3) * 2 + (e & 1)]; }
  });
}
#define mma_tf32(d, a, b) mg_mma(__LINE__, d, a, b)
