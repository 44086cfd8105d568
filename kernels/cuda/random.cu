// Random numbers of kernels/rng.py, word for word: Philox4x32-10 of (element/4, call, step, use), key = seed.
//
// A thread draws whole blocks of four words and writes the four numbers that come of them; no thread depends on
// another. `step` lies in device memory, so that a captured launch can be run again at another step.
#include "common.cuh"
#include "numbers.cuh"
#include "strided.cuh"

// The step that draws belong to, written by one thread.
__global__ void set_step(u32* step, u32 value) { step[0] = value; }

// Four words (Salmon, Moraes, Dror and Shaw 2011, section 3.3): ten rounds of 32x32 -> 64 bit products and
// exclusive-ors; the key grows by golden ratio and sqrt(3) - 1 from round to round.
__device__ __forceinline__ void philox(u32 (&c)[4], u32 key0, u32 key1) {
  for (int round = 0; round < 10; round++) {
    const u64 product0 = 0xD2511F53ull * c[0], product1 = 0xCD9E8D57ull * c[2];
    c[0] = (u32)(product1 >> 32) ^ c[1] ^ key0;
    c[1] = (u32)product1;
    c[2] = (u32)(product0 >> 32) ^ c[3] ^ key1;
    c[3] = (u32)product0;
    key0 += 0x9E3779B9u;
    key1 += 0xBB67AE85u;
  }
}

// (word + 1/2)/2^32, exact in double: in the open interval (0, 1).
__device__ __forceinline__ double unit(u32 word) { return (word + 0.5) * 2.3283064365386963e-10; }

// y = uniform in (0, 1).
template <class T>
__global__ void uniform(T* __restrict__ y, long long count, const u32* __restrict__ step, u32 call, u32 use, u32 key0,
                        u32 key1) {
  FOR_EACH_ELEMENT(block, (count + 3) / 4) {
    u32 words[4] = {(u32)block, call, step[0], use};
    philox(words, key0, key1);
    for (int k = 0; k < 4 && 4 * block + k < count; k++) y[4 * block + k] = (T)unit(words[k]);
  }
}

// y = standard normal by Box and Muller (1958), of two words two numbers: sqrt(-2 log u) (cos, sin)(2 pi v).
template <class T>
__global__ void normal(T* __restrict__ y, long long count, const u32* __restrict__ step, u32 call, u32 use, u32 key0,
                       u32 key1) {
  FOR_EACH_ELEMENT(block, (count + 3) / 4) {
    u32 words[4] = {(u32)block, call, step[0], use};
    philox(words, key0, key1);
    for (int k = 0; k < 4 && 4 * block + k < count; k++) {
      const double radius = sqrt(-2 * log(unit(words[k & ~1]))), angle = 6.283185307179586 * unit(words[k | 1]);
      y[4 * block + k] = (T)(radius * (k & 1 ? sin(angle) : cos(angle)));
    }
  }
}

// y = [u >= rate]/(1 - rate), u uniform.
template <class T>
__global__ void dropout_mask(T* __restrict__ y, long long count, double rate, const u32* __restrict__ step, u32 call,
                             u32 use, u32 key0, u32 key1) {
  const T kept = (T)(1 / (1 - rate));
  FOR_EACH_ELEMENT(block, (count + 3) / 4) {
    u32 words[4] = {(u32)block, call, step[0], use};
    philox(words, key0, key1);
    for (int k = 0; k < 4 && 4 * block + k < count; k++) y[4 * block + k] = unit(words[k]) >= rate ? kept : T(0);
  }
}
