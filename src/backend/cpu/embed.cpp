// CPU backend: rows of the embedding table.
#include <cassert>

#include "backend/cpu/cpu_operations.h"

namespace halftone::cpu {

void CpuBackend::embed(std::span<const int32_t> ids, ConstView table, float scale, View y) {
  assert(static_cast<int64_t>(ids.size()) == y.rows && table.cols == y.cols);
  for_rows(y.rows, y.cols, [&](int64_t row) {
    const int32_t id = ids[static_cast<size_t>(row)];
    assert(id >= 0 && id < table.rows);
    kernels_.scale(simd::source(table, id), scale, simd::target(y, row), y.cols);
  });
}

}  // namespace halftone::cpu
