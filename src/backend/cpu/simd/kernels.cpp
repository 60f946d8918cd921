// Which kernels this processor can run.
#include "backend/cpu/simd/kernels.h"

#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "backend/cpu/simd/attention_layout.h"

namespace halftone::simd {
namespace {

Kernels with_bf16_products(Isa isa, void (*attend)(const AttentionTask&)) {
  Kernels kernels = kAvx512Kernels;
  kernels.isa = isa;
  kernels.attend_bf16 = attend;
  return kernels;
}

// Whether there are tiles of bf16, and the system lets this process use them: it keeps 8 KB more a
// thread for those who ask.
bool may_use_amx() {
  constexpr unsigned kBf16 = 1u << 22, kTiles = 1u << 24;  // CPUID.(7,0):EDX
  unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
  if (!__get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx)) return false;
  if ((edx & kBf16) == 0 || (edx & kTiles) == 0) return false;
  constexpr long kRequestPermission = 0x1023, kTileData = 18;  // asm/prctl.h, since Linux 5.16
  return ::syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
}

}  // namespace

Isa detect_isa() {
  __builtin_cpu_init();
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  if (!avx2) return Isa::scalar;
  const bool avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
  if (!avx512) return Isa::avx2;
  if (!__builtin_cpu_supports("avx512bf16")) return Isa::avx512;
  return may_use_amx() ? Isa::amx : Isa::avx512_bf16;
}

bool has_fast_bf16_products(Isa isa) {
  __builtin_cpu_init();
  return isa == Isa::amx || (isa == Isa::avx512_bf16 && __builtin_cpu_is("amd"));
}

const Kernels& kernels_for(Isa isa) {
  static const Kernels bf16 = with_bf16_products(Isa::avx512_bf16, attend_avx512_bf16);
  static const Kernels amx = with_bf16_products(Isa::amx, attend_amx);
  switch (isa) {
    case Isa::amx:
      return amx;
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
