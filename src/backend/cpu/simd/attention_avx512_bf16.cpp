// Attention whose products are AVX-512's of pairs of bf16 (vdpbf16ps), with sums in f32.
#include <immintrin.h>

#include "backend/cpu/simd/attention_layout.h"
#include "backend/cpu/simd/kernel_constants.h"
#include "backend/cpu/simd/kernels.h"

#if defined(__clang__)
#pragma clang attribute push(                                                               \
    __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512bf16,avx2,fma,f16c"))), \
    apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx512f,avx512bw,avx512dq,avx512vl,avx512bf16,avx2,fma,f16c")
#endif

namespace halftone::simd {
namespace avx512_bf16 {

#include "backend/cpu/simd/vector_avx512.inl"
//
#include "backend/cpu/simd/mathematics.inl"
//
#include "backend/cpu/simd/rows.inl"
//
#include "backend/cpu/simd/transpose_avx512.inl"
#include "backend/cpu/simd/words_bf16.inl"
//
#include "backend/cpu/simd/attention_registers.inl"
//
#include "backend/cpu/simd/attention.inl"

}  // namespace avx512_bf16

void attend_avx512_bf16(const AttentionTask& task) { avx512_bf16::attend_task(task); }

}  // namespace halftone::simd

#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif
