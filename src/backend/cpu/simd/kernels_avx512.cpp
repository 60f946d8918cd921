// The kernels for AVX-512 (F, BW, DQ, VL)..
#include <immintrin.h>

#include "backend/cpu/simd/attention_layout.h"
#include "backend/cpu/simd/kernel_constants.h"
#include "backend/cpu/simd/kernels.h"

#if defined(__clang__)
#pragma clang attribute push(                                                    \
    __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c"))), \
    apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c")
#endif

namespace halftone::simd {
namespace avx512 {

#include "backend/cpu/simd/vector_avx512.inl"
//
#include "backend/cpu/simd/mathematics.inl"
//
#include "backend/cpu/simd/rows.inl"
//
#include "backend/cpu/simd/words_f32.inl"
//
#include "backend/cpu/simd/attention_registers.inl"
#include "backend/cpu/simd/transpose_avx512.inl"
//
#include "backend/cpu/simd/attention.inl"

void attend(const AttentionTask& task) { attend_task(task); }

}  // namespace avx512
}  // namespace halftone::simd
#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

namespace halftone::simd {

const Kernels kAvx512Kernels = {.isa = Isa::avx512,
                                .convert = avx512::convert,
                                .scale = avx512::scale,
                                .add = avx512::add,
                                .gated_activation = avx512::gated_activation,
                                .softcap = avx512::softcap,
                                .norm = avx512::norm,
                                .angles = avx512::angles,
                                .rotate = avx512::rotate,
                                .largest = avx512::largest,
                                .sum_exp = avx512::sum_exp,
                                .divergence = avx512::divergence,
                                .attend = avx512::attend,
                                .attend_bf16 = nullptr};

}  // namespace halftone::simd
