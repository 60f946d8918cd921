// GPTQ's outer loop (arXiv 2210.17323, with the LDL form of docs/methods.md §3): panels of rows,
// blocks of columns from the last to the first, static groups, and the guard against feedback that
// runs away.
#include "quant/gptq.h"

#include <fmt/core.h>

#include <algorithm>
#include <cassert>
#include <cmath>
#include <vector>

#include "quant/rtn.h"

namespace halftone {
namespace {

// Rows are independent of each other: so many at a time bound the memory.
constexpr int64_t kPanelRows = 4096;

// What all panels of one matrix share.
struct Problem {
  const Factor& factor;
  const SolverOptions& options;
  std::vector<int32_t> group_of;  // of each column, in factored order
};

// Scales and zeros of the original weights, by groups in original order; dead columns count as
// zero. `scratch` is as large as the weight.
void fit_static_groups(Backend& backend, const Problem& problem, ConstView weight, View scratch,
                       View scales, View zeros) {
  ConstView fitted = weight;
  if (!problem.factor.dead.empty()) {
    backend.copy(weight, scratch);
    for (const int32_t c : problem.factor.dead) backend.fill(scratch.cols_of(c, c + 1), 0);
    fitted = scratch;
  }
  backend.fit_grid(fitted, problem.options.fit, scales, zeros);
}

// Codes (rows, in) u8 in factored order → the rows from row_begin of `result`, in original order.
void store_codes(Backend& backend, const Factor& factor, ConstView codes, int64_t row_begin,
                 QuantizedMatrix& result) {
  constexpr int64_t kRows = 64;  // that stay in the cache while their columns are spread
  const int64_t cols = codes.cols;
  HostAllocator host;
  Tensor staging(host, std::min(codes.rows, kRows), cols, DType::u8);
  for (int64_t begin = 0; begin < codes.rows; begin += kRows) {
    const int64_t end = std::min(codes.rows, begin + kRows);
    backend.download(codes.rows_of(begin, end), staging.view().rows_of(0, end - begin));
    for (int64_t r = begin; r < end; ++r) {
      const uint8_t* from = staging.row<uint8_t>(r - begin);
      uint8_t* to = result.codes.data() + (row_begin + r) * cols;
      for (int64_t c = 0; c < cols; ++c) to[factor.order[static_cast<size_t>(c)]] = from[c];
    }
  }
}

// Quantizes weight (rows, in), the rows from row_begin of the matrix.
LayerError solve_panel(Backend& backend, const Problem& problem, ConstView weight,
                       int64_t row_begin, QuantizedMatrix& result) {
  const Factor& factor = problem.factor;
  const Grid& grid = problem.options.fit.grid;
  const int64_t rows = weight.rows, cols = weight.cols, groups = grid.groups(cols);
  const int64_t block = std::min(cols, problem.options.block);
  Tensor w = backend.allocate(rows, cols, DType::f32);
  Tensor target = backend.allocate(rows, cols, DType::f32);
  Tensor errors = backend.allocate(rows, block, DType::f32);
  Tensor codes = backend.allocate(rows, cols, DType::u8);
  Tensor scales = backend.allocate(rows, groups, DType::f32);
  Tensor zeros = backend.allocate(rows, groups, DType::u8);
  fit_static_groups(backend, problem, weight, target, scales, zeros);
  gather_factored(backend, factor, weight, w);
  backend.copy(w, target);

  const ConstView lower = factor.lower;
  double squares = 0;  // ‖Δ‖²
  for (int64_t end = cols; end > 0; end -= block) {
    const int64_t begin = std::max<int64_t>(0, end - block);
    const View panel_errors = errors.view().cols_of(0, end - begin);
    backend.quantize_columns(w, target, lower, {begin, end, problem.group_of}, grid, scales, zeros,
                             codes, panel_errors);
    if (begin > 0)
      backend.multiply_add(panel_errors, lower.rows_of(begin, end).cols_of(0, begin),
                           target.view().cols_of(0, begin));
    squares += sum_of_squares(backend, panel_errors);
  }

  store_codes(backend, factor, codes, row_begin, result);
  backend.download(scales, View{result.scales.data() + row_begin * groups, rows, groups, groups,
                                DType::f32, Place::host});
  backend.download(zeros, View{result.zeros.data() + row_begin * groups, rows, groups, groups,
                               DType::u8, Place::host});
  LayerError loss;
  loss.error = quadratic_form_of_product(backend, factor, target, squares);
  loss.energy = quadratic_form(backend, factor, w, target);
  return loss;
}

// What rounding to nearest would lose if its errors were uniform and independent:
// Σ H_kk · scale² / 12.
double expected_rounding_error(const Factor& factor, const QuantizedMatrix& matrix) {
  const int64_t groups = matrix.groups();
  std::vector<double> weights(static_cast<size_t>(groups));
  for (int64_t c = 0; c < matrix.cols; ++c)
    weights[static_cast<size_t>(matrix.group(c))] += factor.diagonal[static_cast<size_t>(c)];
  double sum = 0;
  for (size_t i = 0; i < matrix.scales.size(); ++i)
    sum += weights[i % weights.size()] * matrix.scales[i] * matrix.scales[i] / 12;
  return sum;
}

// Clamped codes feed errors back that later columns may not be able to take up; with a Hessian that
// is all but singular this can run away. Where the result is suspicious it is held against rounding
// to nearest by the same scales, whose error costs a product more, and given up when that is
// clearly better.
void guard(Backend& backend, ConstView weight, const Factor& factor, const LayerError& loss,
           SolveResult& result) {
  if (loss.error <= 0.9 * expected_rounding_error(factor, result.matrix)) return;  // false for NaN
  QuantizedMatrix rounded = result.matrix;
  round_to_nearest(backend, weight, rounded);
  const LayerError theirs = layer_error(backend, weight, rounded, factor);
  if (loss.error <= 1.1 * theirs.error) return;
  result.matrix = std::move(rounded);
  result.report.relative_error = theirs.relative();
  result.report.note = fmt::format("fell back to rtn: GPTQ's error {:.2g} is above its {:.2g}",
                                   loss.relative(), theirs.relative());
}

}  // namespace

SolveResult solve_gptq(Backend& backend, ConstView weight, const Factor* factor,
                       const SolverOptions& options) {
  if (factor == nullptr || !factor->usable()) {
    SolveResult result = solve_rtn(backend, weight, nullptr, options);
    result.report.note =
        "fell back to rtn: " + (factor == nullptr ? std::string("no Hessian") : factor->note);
    return result;
  }
  const Grid& grid = options.fit.grid;
  const int64_t rows = weight.rows, cols = weight.cols, groups = grid.groups(cols);
  assert(cols == factor->inputs());
  Problem problem{*factor, options, {}};
  for (const int32_t c : factor->order)
    problem.group_of.push_back(static_cast<int32_t>(c / grid.group_width(cols)));

  SolveResult result;
  result.matrix = {grid, rows, cols, {}, {}, {}, {}};
  result.matrix.codes.resize(static_cast<size_t>(rows * cols));
  result.matrix.scales.resize(static_cast<size_t>(rows * groups));
  result.matrix.zeros.resize(static_cast<size_t>(rows * groups));
  LayerError loss;
  for (int64_t begin = 0; begin < rows; begin += kPanelRows) {
    const int64_t end = std::min(rows, begin + kPanelRows);
    const LayerError part =
        solve_panel(backend, problem, weight.rows_of(begin, end), begin, result.matrix);
    loss.error += part.error;
    loss.energy += part.energy;
  }
  result.report.relative_error = loss.relative();
  result.report.damping = factor->damping;
  result.report.dead_columns = static_cast<int>(factor->dead.size());
  result.report.note = factor->note;
  guard(backend, weight, *factor, loss, result);
  return result;
}

}  // namespace halftone
