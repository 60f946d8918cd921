// CPU backend: rotary position embedding (arXiv 2104.09864). A row's sines and cosines are computed
// once and serve all of its heads.
#include <algorithm>
#include <cassert>
#include <vector>

#include "backend/cpu/cpu_operations.h"

namespace halftone::cpu {

void CpuBackend::rope(ConstView x, std::span<const int32_t> positions, ConstView frequencies,
                      const RopeSpec& spec, View y) {
  const int64_t dim = spec.head_dim, half = frequencies.cols;
  assert(x.cols == spec.heads * dim && y.cols == x.cols && y.rows == x.rows);
  assert(static_cast<int64_t>(positions.size()) == x.rows && 2 * half <= dim);
  assert(frequencies.dtype == DType::f32);
  const std::span<const float> rates(frequencies.row<float>(0), static_cast<size_t>(half));
  const int64_t grain = std::max<int64_t>(1, (1 << 14) / x.cols);
  pool_.parallel_for(x.rows, grain, [&](int64_t begin, int64_t end) {
    std::vector<float> table(static_cast<size_t>(2 * half));
    const simd::Rotation rotation{table.data(), table.data() + half, half};
    for (int64_t row = begin; row < end; ++row) {
      const float position = static_cast<float>(positions[static_cast<size_t>(row)]);
      kernels_.angles(position, rates, spec.magnitude, table.data(), table.data() + half);
      for (int64_t head = 0; head < spec.heads; ++head) {
        const int64_t col = head * dim;
        kernels_.rotate(simd::source(x, row, col), rotation, simd::target(y, row, col));
        if (2 * half < dim)
          kernels_.convert(simd::source(x, row, col + 2 * half),
                           simd::target(y, row, col + 2 * half), dim - 2 * half);
      }
    }
  });
}

}  // namespace halftone::cpu
