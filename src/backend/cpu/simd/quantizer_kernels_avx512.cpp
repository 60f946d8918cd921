// The quantizer's kernels for AVX-512 (F, BW, DQ, VL).
#include <immintrin.h>

#include "backend/block_grid.h"
#include "backend/cpu/simd/attention_layout.h"
#include "backend/cpu/simd/kernel_constants.h"
#include "backend/cpu/simd/quantizer_kernels.h"

#if defined(__clang__)
#pragma clang attribute push(                                                    \
    __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c"))), \
    apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c")
#endif

// Here, so that its templates are for these instructions.
#include "backend/block_lanes.h"

namespace halftone::simd {
namespace {

static_assert(kTurnedRows == kKeyTile, "transpose() is attention's");

// Each builds on the one before: not to be sorted.
// clang-format off
#include "backend/cpu/simd/vector_avx512.inl"
#include "backend/cpu/simd/transpose_avx512.inl"
#include "backend/cpu/simd/quantizer_avx512.inl"
#include "backend/cpu/simd/pair_rows.inl"
#include "backend/cpu/simd/candidate_loss.inl"
#include "backend/cpu/simd/quantize_panel.inl"
#include "backend/cpu/simd/block_rows.inl"
// clang-format on

}  // namespace
}  // namespace halftone::simd

#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

namespace halftone::simd {

const QuantizerKernels kAvx512QuantizerKernels = {.candidate_loss = candidate_loss,
                                                  .weighed_loss = weighed_loss,
                                                  .quantize_panel = quantize_panel,
                                                  .fit_block_row = fit_block_row,
                                                  .transpose = transpose,
                                                  .pair_rows = pair_rows};

}  // namespace halftone::simd
