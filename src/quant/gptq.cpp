// GPTQ's outer loop (arXiv 2210.17323, with the LDL form of docs/methods.md §3): panels of rows,
// blocks of columns from the last to the first, static groups, and the guard against feedback that
// runs away.
#include "quant/gptq.h"

#include <fmt/core.h>

#include <algorithm>
#include <cassert>
#include <cmath>
#include <utility>
#include <vector>

#include "quant/clip.h"
#include "quant/device_matrix.h"
#include "quant/quadratic_form.h"
#include "quant/rtn.h"

namespace halftone {
namespace {

// Blocks of columns whose errors go to all columns before them at once: those updates read and
// write the whole target, so there should be few. Within a span, a block's errors go no further.
constexpr int64_t kSpanBlocks = 8;

// What all panels of one matrix share.
struct Problem {
  const Factor& factor;
  const SolverOptions& options;
  std::vector<int32_t> group_of;  // of each column, in factored order
  std::vector<int32_t> position;  // of each original column, in factored order
  std::vector<float> importance;  // Factor::importance()

  Problem(const Factor& of, const SolverOptions& with)
      : factor(of), options(with), position(of.order.size()), importance(of.importance()) {
    const int64_t width = options.fit.grid.group_width(factor.inputs());
    for (size_t k = 0; k < factor.order.size(); ++k) {
      group_of.push_back(static_cast<int32_t>(factor.order[k] / width));
      position[static_cast<size_t>(factor.order[k])] = static_cast<int32_t>(k);
    }
  }
};

// A panel's weights (rows, in) and what becomes of them, all on the device.
struct Panel {
  ConstView weight;
  View codes, scales, zeros;
  int64_t error = 0, energy = 0;  // its quadratic forms
};

// What a span of columns is solved with: the panel's weights and targets in factored order.
struct SpanOperands {
  const Panel& panel;
  ConstView w;
  View target, codes, errors;
};

// Scales and zeros of the original weights, by groups in original order; dead columns count as
// zero. `scratch` is as large as the weight.
void fit_static_groups(Backend& backend, const Problem& problem, const Panel& panel, View scratch) {
  const auto values = static_cast<double>(panel.weight.rows * panel.weight.cols);
  const ProfileScope scope(problem.options.profile, "scales", 0, values * sizeof(float));
  ConstView fitted = panel.weight;
  if (!problem.factor.dead.empty()) {
    backend.copy(panel.weight, scratch);
    for (const int32_t c : problem.factor.dead) backend.fill(scratch.cols_of(c, c + 1), 0);
    fitted = scratch;
  }
  fit_ranges(backend, fitted, problem.options, panel.scales, panel.zeros, problem.importance);
}

// Quantizes the columns of a span, from the last to the first; errors (rows, end − begin).
void solve_span(Backend& backend, const Problem& problem, const SpanOperands& span, int64_t begin,
                int64_t end) {
  const ConstView lower = problem.factor.lower;
  const Panel& panel = span.panel;
  for (int64_t last = end; last > begin; last -= problem.options.block) {
    const int64_t first = std::max(begin, last - problem.options.block);
    const View errors = span.errors.cols_of(first - begin, last - begin);
    backend.quantize_columns(span.w, span.target, lower, {first, last, problem.group_of},
                             problem.options.fit.grid, panel.scales, panel.zeros, span.codes,
                             errors);
    if (first > begin)
      backend.multiply_add(errors, lower.rows_of(first, last).cols_of(begin, first),
                           span.target.cols_of(begin, first));
  }
}

// Enqueues everything and reads nothing.
void solve_panel(Backend& backend, const Problem& problem, const Panel& panel,
                 QuadraticForms& forms) {
  const int64_t rows = panel.weight.rows, cols = panel.weight.cols;
  const int64_t width = std::min(cols, kSpanBlocks * problem.options.block);
  const Tensor w = backend.allocate(rows, cols, DType::f32);
  const Tensor target = backend.allocate(rows, cols, DType::f32);
  const Tensor errors = backend.allocate(rows, width, DType::f32);
  const Tensor codes = backend.allocate(rows, cols, DType::u8);
  fit_static_groups(backend, problem, panel, target);
  gather_factored(backend, problem.factor, panel.weight, w);
  backend.copy(w, target);

  const ConstView lower = problem.factor.lower;
  for (int64_t end = cols; end > 0; end -= width) {
    const int64_t begin = std::max<int64_t>(0, end - width);
    const View span_errors = errors.view().cols_of(0, end - begin);
    solve_span(backend, problem, {panel, w, target, codes, span_errors}, begin, end);
    if (begin > 0)
      backend.multiply_add(span_errors, lower.rows_of(begin, end).cols_of(0, begin),
                           target.view().cols_of(0, begin));
    forms.add_squares(panel.error, span_errors);
  }
  backend.gather_columns(codes, problem.position, panel.codes);
  forms.add_product(panel.error, target);
  forms.add(panel.energy, w, target);
}

LayerError solve_panels(Backend& backend, const Problem& problem, ConstView weight,
                        const DeviceMatrix& matrix) {
  const int64_t rows = weight.rows,
                most_rows = std::max(int64_t{1}, kMostPanelWeights / weight.cols);
  const int64_t panels = (rows + most_rows - 1) / most_rows;
  const int64_t panel_rows = (rows + panels - 1) / std::max(int64_t{1}, panels);
  QuadraticForms forms(backend, problem.factor, 2 * panels);
  for (int64_t i = 0; i < panels; ++i) {
    const int64_t begin = i * panel_rows, end = std::min(rows, begin + panel_rows);
    solve_panel(backend, problem,
                {.weight = weight.rows_of(begin, end),
                 .codes = matrix.codes.view().rows_of(begin, end),
                 .scales = matrix.scales.view().rows_of(begin, end),
                 .zeros = matrix.zeros.view().rows_of(begin, end),
                 .error = 2 * i,
                 .energy = 2 * i + 1},
                forms);
  }
  const std::vector<double> values = forms.read();
  LayerError loss;
  for (size_t i = 0; i < values.size(); i += 2) {
    loss.error += values[i];
    loss.energy += values[i + 1];
  }
  return loss;
}

// What rounding to nearest would lose if its errors were uniform and independent:
// Σ H_kk · (scale · step)² / 12, a table's step being the mean one.
double expected_rounding_error(Backend& backend, const Factor& factor, const DeviceMatrix& matrix) {
  std::vector<double> weights(static_cast<size_t>(matrix.scales.cols()));
  for (size_t c = 0; c < matrix.group_of.size(); ++c)
    weights[static_cast<size_t>(matrix.group_of[c])] += factor.diagonal[c] / 12;
  const Tensor sum = backend.allocate(1, 1, DType::f64);
  backend.fill(sum, 0);
  backend.add_squares(matrix.scales, weights, sum);
  double error = 0;
  backend.download(sum, View{&error, 1, 1, 1, DType::f64, Place::host});
  const std::span<const float> levels = levels_of(matrix.grid.table);
  const double step =
      levels.empty() ? 1
                     : (levels.back() - levels.front()) / static_cast<double>(levels.size() - 1);
  return error * step * step;
}

// Clamped codes feed errors back that later columns may not be able to take up; with a Hessian that
// is all but singular this can run away. Where the result is suspicious it is held against rounding
// to nearest by the same scales, whose error costs a product more, and given up when that is
// clearly better.
void guard(Backend& backend, ConstView weight, const Factor& factor, const LayerError& loss,
           SolveResult& result) {
  DeviceMatrix& matrix = result.matrix;
  const double expected = expected_rounding_error(backend, factor, matrix);
  if (loss.error <= 0.9 * expected) return;  // false for NaN
  Tensor rounded = backend.allocate(matrix.rows(), matrix.cols(), DType::u8);
  const CodeView nearest{rounded, matrix.scales, matrix.zeros, matrix.group_of, matrix.grid.table};
  backend.encode(weight, matrix.grid, nearest);
  const LayerError theirs = layer_error(backend, weight, nearest, factor);
  if (loss.error <= 1.1 * theirs.error) return;
  matrix.codes = std::move(rounded);
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
  assert(weight.cols == factor->inputs());
  SolveResult result{{backend, options.fit.grid, weight.rows, weight.cols}, {}};
  const LayerError loss = solve_panels(backend, {*factor, options}, weight, result.matrix);
  result.report.relative_error = loss.relative();
  result.report.energy = loss.energy;
  result.report.damping = factor->damping;
  result.report.dead_columns = static_cast<int>(factor->dead.size());
  result.report.note = factor->note;
  guard(backend, weight, *factor, loss, result);
  return result;
}

}  // namespace halftone
