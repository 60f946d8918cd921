// The quantizer's matrix operations on x86-64: what CpuBackend's virtuals of the same names call.
//
// Each is defined at the virtual's declaration in backend/backend.h (fit_grid in docs/methods.md
// §2). Work is cut by size alone, so the bytes do not depend on the number of threads.
#pragma once

#include <cstdint>
#include <span>

#include "backend/backend.h"
#include "base/thread_pool.h"

namespace halftone {

void cpu_accumulate_hessian(ThreadPool& pool, ConstView x, ConstView row_weights, View h);
void cpu_gather_symmetric(ThreadPool& pool, ConstView h, std::span<const int32_t> order,
                          double dead_diagonal, double damping, View out);
void cpu_factor_ldl(ThreadPool& pool, View a, View status);
void cpu_gather_columns(ThreadPool& pool, ConstView w, std::span<const int32_t> order, View out);
void cpu_fit_grid(ThreadPool& pool, ConstView w, const GridFit& fit, View scales, View zeros);
void cpu_quantize_columns(ThreadPool& pool, ConstView w, View target, ConstView factor,
                          const ColumnBlock& block, const Grid& grid, ConstView scales,
                          ConstView zeros, View codes, View errors);
void cpu_multiply_add(ThreadPool& pool, ConstView a, ConstView b, View c);

}  // namespace halftone
