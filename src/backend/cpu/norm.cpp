// CPU backend: RMS norm (arXiv 1910.07467) and layer norm, alone and behind an addition.
#include <cassert>

#include "backend/cpu/cpu_operations.h"

namespace halftone::cpu {

void CpuBackend::norm(ConstView x, ConstView gain, const NormSpec& spec, View y) {
  assert(x.rows == y.rows && x.cols == y.cols && gain.cols == x.cols);
  for_rows(x.rows, x.cols, [&](int64_t row) {
    kernels_.norm(simd::source(x, row), simd::source(gain, 0), spec, simd::target(y, row), x.cols);
  });
}

// A row at a time, so that the sum is normed while it lies in the cache.
void CpuBackend::add_norm(ConstView x, View residual, ConstView gain, const NormSpec& spec,
                          View y) {
  assert(x.rows == residual.rows && x.cols == residual.cols && residual.dtype == DType::f32);
  assert(y.rows == x.rows && y.cols == x.cols && gain.cols == x.cols);
  for_rows(x.rows, x.cols, [&](int64_t row) {
    const simd::Source sum = simd::source(residual, row);
    kernels_.add(sum, simd::source(x, row), simd::target(residual, row), x.cols);
    kernels_.norm(sum, simd::source(gain, 0), spec, simd::target(y, row), x.cols);
  });
}

}  // namespace halftone::cpu
