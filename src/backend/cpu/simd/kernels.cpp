// Which kernels this processor can run.
#include "backend/cpu/simd/kernels.h"

#include "backend/cpu/simd/attention_layout.h"

namespace halftone::simd {
namespace {

Kernels with_bf16_products() {
  Kernels kernels = kAvx512Kernels;
  kernels.isa = Isa::avx512_bf16;
  kernels.attend_bf16 = attend_avx512_bf16;
  return kernels;
}

}  // namespace

Isa detect_isa() {
  __builtin_cpu_init();
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  if (!avx2) return Isa::scalar;
  const bool avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
  if (!avx512) return Isa::avx2;
  return __builtin_cpu_supports("avx512bf16") ? Isa::avx512_bf16 : Isa::avx512;
}

bool has_fast_bf16_pairs() {
  __builtin_cpu_init();
  return detect_isa() == Isa::avx512_bf16 && __builtin_cpu_is("amd");
}

const Kernels& kernels_for(Isa isa) {
  static const Kernels bf16 = with_bf16_products();
  switch (isa) {
    case Isa::avx512_bf16:
      return bf16;
    case Isa::avx512:
      return kAvx512Kernels;
    case Isa::avx2:
      return kAvx2Kernels;
    default:
      return kScalarKernels;
  }
}

int64_t attention_scratch_bytes(int64_t rows, int64_t head_dim) {
  return AttentionLayout(rows, head_dim).bytes;
}

}  // namespace halftone::simd
