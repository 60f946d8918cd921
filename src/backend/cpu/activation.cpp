// CPU backend: what works on each element by itself.
#include <cassert>

#include "backend/cpu/cpu_operations.h"

namespace halftone::cpu {

void CpuBackend::gated_activation(ConstView gate, ConstView up, Activation act, View y) {
  assert(gate.rows == y.rows && gate.cols == y.cols && up.rows == y.rows && up.cols == y.cols);
  for_rows(y.rows, y.cols, [&](int64_t row) {
    kernels_.gated_activation(simd::source(gate, row), simd::source(up, row), act,
                              simd::target(y, row), y.cols);
  });
}

void CpuBackend::add(ConstView a, ConstView b, View y) {
  assert(a.rows == y.rows && a.cols == y.cols && b.rows == y.rows && b.cols == y.cols);
  for_rows(y.rows, y.cols, [&](int64_t row) {
    kernels_.add(simd::source(a, row), simd::source(b, row), simd::target(y, row), y.cols);
  });
}

void CpuBackend::softcap(View x, float cap) {
  assert(cap > 0);
  for_rows(x.rows, x.cols,
           [&](int64_t row) { kernels_.softcap(simd::target(x, row), cap, x.cols); });
}

}  // namespace halftone::cpu
