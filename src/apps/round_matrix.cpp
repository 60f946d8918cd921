#include "apps/round_matrix.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "base/interrupt.h"
#include "model/finite.h"
#include "quant/rtn.h"

namespace halftone {
namespace {

template <class T>
void append(const std::vector<T>& from, std::vector<T>& to) {
  to.insert(to.end(), from.begin(), from.end());
}

void check_held(const std::string& tensor, const QuantizedMatrix& matrix, int64_t first_row) {
  const auto row = clipped_row(matrix);
  if (!row) return;
  throw bad_input("{}: row {} has weights too large for {} bits with f16 scales", tensor,
                  first_row + *row, matrix.grid.bits)
      .hint("the weights are damaged, or that matrix has to stay in BF16 or F32.");
}

}  // namespace

// Fitted scales stop at f16's largest value, and a superblock's at its largest multiple of that.
std::optional<int64_t> clipped_row(const QuantizedMatrix& matrix) {
  const Grid& grid = matrix.grid;
  if (grid.scales != ScaleStore::f16) return std::nullopt;
  constexpr float kLargestHalf = 65504;
  const int multiple = grid.superblock == 0 ? 1
                       : grid.offsets       ? (1 << grid.multiple_bits) - 1
                                            : (1 << (grid.multiple_bits - 1)) - 1;
  const float limit = kLargestHalf * static_cast<float>(multiple);
  for (const std::vector<float>* values : {&matrix.scales, &matrix.offsets})
    for (size_t i = 0; i < values->size(); ++i)
      if (std::abs((*values)[i]) >= limit) return static_cast<int64_t>(i) / matrix.groups();
  return std::nullopt;
}

QuantizedMatrix round_matrix(Backend& backend, const WeightSource& source,
                             const PlannedModule& module) {
  QuantizedMatrix whole;
  whole.grid = module.grid;
  whole.rows = module.rows;
  whole.cols = module.cols;
  const std::string tensor = module.name + ".weight";
  SolverOptions options;
  options.fit.grid = module.grid;
  const int64_t most = std::max(int64_t{1}, kRoundedAtOnce / module.cols);
  for (int64_t begin = 0; begin < module.rows; begin += most) {
    throw_if_interrupted();
    const int64_t end = std::min(module.rows, begin + most);
    const Tensor values(backend.host_allocator(), end - begin, module.cols, DType::f32);
    source.read(tensor, begin, end, values);
    check_finite(tensor, begin, values);
    const Tensor weight = backend.allocate(end - begin, module.cols, DType::f32);
    backend.upload(values, weight);
    const QuantizedMatrix part =
        solve_rtn(backend, weight, nullptr, options).matrix.download(backend);
    check_held(tensor, part, begin);
    append(part.codes, whole.codes);
    append(part.scales, whole.scales);
    append(part.zeros, whole.zeros);
    append(part.offsets, whole.offsets);
  }
  return whole;
}

}  // namespace halftone
