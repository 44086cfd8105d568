// mma.sync.m16n8k8 for TF32, as the PTX ISA defines the fragments of the 32 lanes. The products are exact and the sums
// rounded to float; the hardware truncates some digits of the sums.
#pragma once
#include "synchronisation.h"

namespace mg {

void mma_m16n8k8_tf32(Site site, float* d, const u32* a, const u32* b) {
  struct Fragments { float* d; const u32 *a, *b; } mine{d, a, b};
  warp_collective(site, "mma_tf32", 0xffffffffu, &mine, [](void* const* operands) {
    auto tf32 = [](u32 bits) { return __builtin_bit_cast(float, bits & ~0x1fffu); };  // the other digits are not read
    float a[16][8], b[8][8], d[16][8];
    for (int lane = 0; lane < 32; lane++) {
      const Fragments& f = *(Fragments*)operands[lane];
      const int g = lane >> 2, q = lane & 3;
      for (int e = 0; e < 4; e++) a[g + 8 * (e & 1)][q + 4 * (e >> 1)] = tf32(f.a[e]);
      for (int e = 0; e < 2; e++) b[q + 4 * e][g] = tf32(f.b[e]);
      for (int e = 0; e < 4; e++) d[g + 8 * (e >> 1)][2 * q + (e & 1)] = f.d[e];
    }
    for (int i = 0; i < 16; i++)
      for (int k = 0; k < 8; k++)
        for (int j = 0; j < 8; j++) d[i][j] += a[i][k] * b[k][j];
    for (int lane = 0; lane < 32; lane++) {
      const Fragments& f = *(Fragments*)operands[lane];
      for (int e = 0; e < 4; e++) f.d[e] = d[(lane >> 2) + 8 * (e >> 1)][2 * (lane & 3) + (e & 1)];
    }
  });
}

}  // namespace mg
