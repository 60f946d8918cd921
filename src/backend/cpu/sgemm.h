// c := beta · c + alpha · a · b in f32 on the calling thread alone, by oneDNN's sgemm: what the
// quantizer's operations hand to the pool as tiles of fixed size.
#pragma once

#include <cstdint>

namespace halftone::cpu {

struct SgemmMatrix {
  const float* data = nullptr;
  int64_t ld = 0;
  bool transposed = false;
};

// a (m, k), b (k, n), c (m, n), row-major.
struct SgemmTile {
  int64_t m = 0, n = 0, k = 0;
  float alpha = 1;
  SgemmMatrix a, b;
  float beta = 1;
  float* c = nullptr;
  int64_t ldc = 0;
};

void sgemm(const SgemmTile& tile);

}  // namespace halftone::cpu
