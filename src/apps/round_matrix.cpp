#include "apps/round_matrix.h"

#include <algorithm>
#include <cmath>
#include <limits>

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

// Fitted scales stop at f16's largest value, and a superblock's at its largest multiple of that.
float largest_scale(const Grid& grid) {
  if (grid.scales != ScaleStore::f16) return std::numeric_limits<float>::infinity();
  constexpr float kLargestHalf = 65504;
  const int multiple = grid.superblock == 0 ? 1
                       : grid.offsets       ? (1 << grid.multiple_bits) - 1
                                            : (1 << (grid.multiple_bits - 1)) - 1;
  return kLargestHalf * static_cast<float>(multiple);
}

// A row with values that no code reaches, so large that a search's squares may overflow.
std::optional<int64_t> unreached_row(const Grid& grid, ConstView values) {
  constexpr float kMostLevels = 256;
  const float limit = kMostLevels * largest_scale(grid);
  for (int64_t row = 0; row < values.rows; ++row)
    for (int64_t col = 0; col < values.cols; ++col)
      if (std::abs(values.row<float>(row)[col]) > limit) return row;
  return std::nullopt;
}

[[noreturn]] void refuse(const std::string& tensor, int64_t row, const Grid& grid) {
  throw bad_input("{}: row {} has weights too large for {} bits with f16 scales", tensor, row,
                  grid.bits)
      .hint("the weights are damaged, or that matrix has to stay in BF16 or F32.");
}

}  // namespace

std::optional<int64_t> clipped_row(const QuantizedMatrix& matrix) {
  const float limit = largest_scale(matrix.grid);
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
    if (const auto row = unreached_row(module.grid, values))
      refuse(tensor, begin + *row, module.grid);
    const Tensor weight = backend.allocate(end - begin, module.cols, DType::f32);
    backend.upload(values, weight);
    const QuantizedMatrix part =
        solve_rtn(backend, weight, nullptr, options).matrix.download(backend);
    if (const auto row = clipped_row(part)) refuse(tensor, begin + *row, module.grid);
    append(part.codes, whole.codes);
    append(part.scales, whole.scales);
    append(part.zeros, whole.zeros);
    append(part.offsets, whole.offsets);
  }
  return whole;
}

}  // namespace halftone
