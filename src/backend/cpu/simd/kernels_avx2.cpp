// The kernels for AVX2 with FMA and F16C..
#include <immintrin.h>

#include "backend/cpu/simd/attention_layout.h"
#include "backend/cpu/simd/kernel_constants.h"
#include "backend/cpu/simd/kernels.h"

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,fma,f16c"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx2,fma,f16c")
#endif

namespace halftone::simd {
namespace avx2 {

#include "backend/cpu/simd/vector_avx2.inl"
//
#include "backend/cpu/simd/mathematics.inl"
//
#include "backend/cpu/simd/rows.inl"
//
#include "backend/cpu/simd/words_f32.inl"
//
#include "backend/cpu/simd/attention_registers.inl"
#include "backend/cpu/simd/transpose_loops.inl"
//
#include "backend/cpu/simd/attention.inl"

void attend(const AttentionTask& task) { attend_task(task); }

}  // namespace avx2
}  // namespace halftone::simd
#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

namespace halftone::simd {

const Kernels kAvx2Kernels = {.isa = Isa::avx2,
                              .convert = avx2::convert,
                              .scale = avx2::scale,
                              .add = avx2::add,
                              .gated_activation = avx2::gated_activation,
                              .softcap = avx2::softcap,
                              .norm = avx2::norm,
                              .angles = avx2::angles,
                              .rotate = avx2::rotate,
                              .largest = avx2::largest,
                              .sum_exp = avx2::sum_exp,
                              .divergence = avx2::divergence,
                              .attend = avx2::attend,
                              .attend_bf16 = nullptr};

}  // namespace halftone::simd
