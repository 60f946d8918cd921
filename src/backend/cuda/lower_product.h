// c += alpha · a · bᵀ, the lower triangle only, by cuBLASLt: what Hessians and Cholesky factors are
// made of.
#pragma once

#include "backend/cuda/cuda_context.h"

namespace halftone::cuda {

struct LowerProduct {
  DType dtype = DType::f32;  // f32 (no TF32), bf16 or f16
  bool transposed = false;   // a and b lie as (k, n); otherwise as (n, k)
  const void* a = nullptr;
  const void* b = nullptr;
  int64_t n = 0, k = 0, ld = 0;
  float alpha = 1;
};

// c (n, n) f32; what is above its diagonal may be changed too.
void add_lower_product(Context& context, const LowerProduct& product, View c);

}  // namespace halftone::cuda
