// The kernels for any processor: what every other set is measured against..
#include <immintrin.h>

#include "backend/cpu/simd/attention_layout.h"
#include "backend/cpu/simd/kernel_constants.h"
#include "backend/cpu/simd/kernels.h"

namespace halftone::simd {
namespace scalar {

#include "backend/cpu/simd/vector_scalar.inl"
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

}  // namespace scalar
}  // namespace halftone::simd

namespace halftone::simd {

const Kernels kScalarKernels = {.isa = Isa::scalar,
                                .convert = scalar::convert,
                                .scale = scalar::scale,
                                .add = scalar::add,
                                .gated_activation = scalar::gated_activation,
                                .softcap = scalar::softcap,
                                .norm = scalar::norm,
                                .angles = scalar::angles,
                                .rotate = scalar::rotate,
                                .largest = scalar::largest,
                                .sum_exp = scalar::sum_exp,
                                .divergence = scalar::divergence,
                                .attend = scalar::attend,
                                .attend_bf16 = nullptr};

}  // namespace halftone::simd
