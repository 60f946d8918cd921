// Round to nearest, panel by panel on the host.
#include "quant/rtn.h"

#include <algorithm>

#include "quant/factor.h"
#include "quant/grid.h"

namespace halftone {
namespace {

constexpr int64_t kPanelRows = 1024;  // rows on the host at a time

}  // namespace

SolveResult solve_rtn(Backend& backend, ConstView weight, const Factor* factor,
                      const SolverOptions& options) {
  const Grid& grid = options.fit.grid;
  const int64_t rows = weight.rows, cols = weight.cols, groups = grid.groups(cols);
  SolveResult result;
  QuantizedMatrix& matrix = result.matrix;
  matrix = {grid, rows, cols, {}, {}, {}, {}};
  matrix.codes.resize(static_cast<size_t>(rows * cols));
  matrix.scales.resize(static_cast<size_t>(rows * groups));
  matrix.zeros.resize(static_cast<size_t>(rows * groups));

  Tensor scales = backend.allocate(rows, groups, DType::f32);
  Tensor zeros = backend.allocate(rows, groups, DType::u8);
  backend.fit_grid(weight, options.fit, scales, zeros);
  backend.download(scales,
                   View{matrix.scales.data(), rows, groups, groups, DType::f32, Place::host});
  backend.download(zeros, View{matrix.zeros.data(), rows, groups, groups, DType::u8, Place::host});

  round_to_nearest(backend, weight, matrix);
  if (factor != nullptr && factor->usable()) {
    result.report.relative_error = layer_error(backend, weight, matrix, *factor).relative();
    result.report.dead_columns = static_cast<int>(factor->dead.size());
  }
  return result;
}

void round_to_nearest(Backend& backend, ConstView weight, QuantizedMatrix& matrix) {
  HostAllocator host;
  Tensor panel(host, std::min(matrix.rows, kPanelRows), matrix.cols, DType::f32);
  for (int64_t begin = 0; begin < matrix.rows; begin += kPanelRows) {
    const int64_t end = std::min(matrix.rows, begin + kPanelRows);
    const View values = panel.view().rows_of(0, end - begin);
    backend.download(weight.rows_of(begin, end), values);
    encode_rows(values, begin, matrix);
  }
}

}  // namespace halftone
