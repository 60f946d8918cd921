// The quantizer's matrix operations on x86-64: what CpuBackend's virtuals of the same names call.
//
// Each is defined at the virtual's declaration in backend/backend.h (fit_grid in docs/methods.md
// §2). Work is cut by size alone, so the bytes do not depend on the number of threads.
#pragma once

#include <cstdint>
#include <span>

#include "backend/backend.h"
#include "backend/cpu/dnnl_matmul.h"
#include "backend/cpu/scratch.h"
#include "backend/cpu/simd/kernels.h"
#include "base/thread_pool.h"

namespace halftone::cpu {

// What accumulating a Hessian works with.
struct HessianTools {
  ThreadPool& pool;
  MatmulEngine& matmul;
  Scratch& scratch;
  simd::Isa isa;
  bool native_bf16 = false;  // bf16 products are the processor's, not emulated
};
void cpu_accumulate_hessian(const HessianTools& tools, ConstView x, ConstView row_weights, View h);
void cpu_gather_symmetric(ThreadPool& pool, ConstView h, std::span<const int32_t> order,
                          double dead_diagonal, double damping, View out);
void cpu_factor_ldl(ThreadPool& pool, View a, View status);
void cpu_gather_columns(ThreadPool& pool, ConstView w, std::span<const int32_t> order, View out);
void cpu_fit_grid(ThreadPool& pool, simd::Isa isa, const GridInputs& in, const GridFit& fit,
                  View scales, View zeros);
void cpu_quantize_columns(ThreadPool& pool, simd::Isa isa, ConstView w, View target,
                          ConstView factor, const ColumnBlock& block, const Grid& grid,
                          ConstView scales, ConstView zeros, View codes, View errors);
void cpu_encode(ThreadPool& pool, ConstView w, const Grid& grid, const CodeView& q);
// out (rows, in), any floating-point type: what the codes stand for, rounded once.
void cpu_dequantize(ThreadPool& pool, const simd::Kernels& kernels, const CodeView& q, View out);
void cpu_code_errors(ThreadPool& pool, ConstView w, const CodeView& q, View errors);
void cpu_add_squares(ThreadPool& pool, ConstView m, std::span<const double> weights, View sum);
void cpu_copy_diagonal_blocks(ThreadPool& pool, ConstView a, View blocks);
void cpu_multiply_add(ThreadPool& pool, ConstView a, ConstView b, View c);

}  // namespace halftone::cpu
