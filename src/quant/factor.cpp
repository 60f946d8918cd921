// H' = L D Lᵀ with damping that escalates, and tr(M H Mᵀ) from it: docs/methods.md §3, §5, §6.
#include "quant/factor.h"

#include <fmt/core.h>

#include <algorithm>
#include <cassert>
#include <cmath>
#include <numeric>
#include <span>

namespace halftone {
namespace {

// A pivot is what is left of a diagonal element after all that precede it were projected out. Where
// little is left, little of it is exact: its relative error is about ε·H'_kk / D_k. Measured on
// Hessians of condition 1e4 to 1e12, L in f32 moves a column's target by up to 1e-7 · max H'_kk /
// D_k steps, so this bound keeps f32 within 1e-4 of a step.
constexpr double kMaxCancellationF32 = 1e3;
constexpr double kMaxCancellationF64 = 1e10;

View column_of(std::vector<float>& values) {
  return {values.data(), static_cast<int64_t>(values.size()), 1, 1, DType::f32, Place::host};
}

// The Hessian as the factorization needs it: sums over tokens, dead columns standing at 1 in the
// units of H = (2/N) · sum, as published.
struct Problem {
  const Hessian& hessian;
  double scale = 0;          // 2/N
  std::vector<double> sums;  // the diagonal of the sum, 1/scale where dead
  double mean = 0;           // of `sums`
};

std::vector<int32_t> factored_order(const std::vector<double>& sums, ColumnOrder order) {
  std::vector<int32_t> columns(sums.size());
  std::iota(columns.begin(), columns.end(), 0);
  if (order == ColumnOrder::activation)
    std::ranges::stable_sort(columns, [&](int32_t a, int32_t b) {
      return sums[static_cast<size_t>(a)] > sums[static_cast<size_t>(b)];
    });
  std::ranges::reverse(columns);
  return columns;
}

// One factorization of H + damping in the given precision; false when it failed or is not exact
// enough.
bool attempt(Backend& backend, const Problem& problem, double damping, DType dtype,
             Factor& factor) {
  const int64_t n = problem.hessian.inputs();
  const double lambda = damping * problem.mean;
  Tensor a = backend.allocate(n, n, dtype);
  Tensor status = backend.allocate(1, 1, DType::i32);
  backend.gather_symmetric(problem.hessian.sum(), factor.order, 1 / problem.scale, lambda, a);
  backend.factor_ldl(a, status);
  int32_t failed = 0;
  backend.download(status, View{&failed, 1, 1, 1, DType::i32, Place::host});
  if (failed != 0) return false;

  if (dtype == DType::f64) {
    factor.lower = backend.allocate(n, n, DType::f32);
    backend.copy(a, factor.lower);
  } else {
    factor.lower = std::move(a);
  }
  std::vector<float> pivots(static_cast<size_t>(n));
  const View& lower = factor.lower.view();
  backend.download(ConstView{lower.data, n, 1, n + 1, DType::f32, lower.place}, column_of(pivots));
  double cancellation = 0;
  factor.pivots.resize(pivots.size());
  for (size_t k = 0; k < pivots.size(); ++k) {
    const double damped = problem.sums[static_cast<size_t>(factor.order[k])] + lambda;
    cancellation = std::max(cancellation, damped / static_cast<double>(pivots[k]));
    factor.pivots[k] = problem.scale * static_cast<double>(pivots[k]);
  }
  factor.damping = damping;
  factor.lambda = problem.scale * lambda;
  return cancellation <= (dtype == DType::f64 ? kMaxCancellationF64 : kMaxCancellationF32);
}

// H' := its diagonal: every column on its own, which is rounding to nearest in another order.
void keep_diagonal(Backend& backend, const Problem& problem, double damping, Factor& factor) {
  const int64_t n = problem.hessian.inputs();
  factor.lower = backend.allocate(n, n, DType::f32);
  backend.fill(factor.lower, 0);
  factor.damping = damping;
  factor.lambda = problem.scale * damping * problem.mean;
  factor.pivots.resize(static_cast<size_t>(n));
  for (size_t k = 0; k < factor.pivots.size(); ++k)
    factor.pivots[k] =
        problem.scale * problem.sums[static_cast<size_t>(factor.order[k])] + factor.lambda;
}

// f32, then f64, then more and more damping, then the diagonal.
void factorize(Backend& backend, const Problem& problem, double damping, Factor& factor) {
  if (attempt(backend, problem, damping, DType::f32, factor)) return;
  factor.lower = Tensor();
  if (attempt(backend, problem, damping, DType::f64, factor)) {
    factor.note = "factored in f64";
    return;
  }
  for (double step = 0.01; damping < 1; step *= 2) {
    damping = std::min(1.0, damping + step);
    factor.lower = Tensor();
    if (attempt(backend, problem, damping, DType::f64, factor)) {
      factor.note = fmt::format("factored in f64; damping raised to {:.3g}", damping);
      return;
    }
  }
  factor.lower = Tensor();
  keep_diagonal(backend, problem, damping, factor);
  factor.note = "not positive definite with any damping: only the Hessian's diagonal used";
}

// The diagonal blocks of L with zeros from the diagonal on: products with L are taken block by
// block, and inside a block the part above the diagonal must not count.
Tensor diagonal_blocks(Backend& backend, ConstView lower) {
  constexpr int64_t kBlock = Factor::kBlock;
  const int64_t n = lower.rows;
  HostAllocator host;
  Tensor staging(host, kBlock, kBlock, DType::f32);
  Tensor blocks = backend.allocate(n, kBlock, DType::f32);
  for (int64_t begin = 0; begin < n; begin += kBlock) {
    const int64_t end = std::min(n, begin + kBlock), width = end - begin;
    const View block = staging.view().rows_of(0, width);
    backend.download(lower.rows_of(begin, end).cols_of(begin, end), block.cols_of(0, width));
    for (int64_t r = 0; r < width; ++r)
      std::fill(block.row<float>(r) + r, block.row<float>(r + 1), 0.f);
    backend.upload(block, blocks.view().rows_of(begin, end));
  }
  return blocks;
}

}  // namespace

Factor Factor::compute(Backend& backend, const Hessian& hessian, ColumnOrder order,
                       double damping) {
  Factor factor;
  const std::vector<float> sums = hessian.diagonal();
  if (hessian.tokens() == 0) {
    factor.note = "no calibration token reached it";
  } else if (!std::ranges::all_of(sums, [](float sum) { return std::isfinite(sum); })) {
    factor.note = "its activations overflowed in calibration";
  } else if (std::ranges::all_of(sums, [](float sum) { return sum == 0; })) {
    factor.note = "its activations were all zero in calibration";
  }
  if (!factor.note.empty()) return factor;

  Problem problem{hessian, 2.0 / static_cast<double>(hessian.tokens()), {}, 0};
  problem.sums.assign(sums.begin(), sums.end());
  for (size_t i = 0; i < sums.size(); ++i) {
    factor.diagonal.push_back(problem.scale * problem.sums[i]);
    if (sums[i] == 0) {
      factor.dead.push_back(static_cast<int32_t>(i));
      problem.sums[i] = 1 / problem.scale;
    }
  }
  problem.mean = std::accumulate(problem.sums.begin(), problem.sums.end(), 0.0) /
                 static_cast<double>(sums.size());
  factor.order = factored_order(problem.sums, order);
  factorize(backend, problem, damping, factor);
  factor.blocks = diagonal_blocks(backend, factor.lower);
  return factor;
}

void gather_factored(Backend& backend, const Factor& factor, ConstView from, View to) {
  backend.gather_columns(from, factor.order, to);
  if (factor.dead.empty()) return;
  for (int64_t c = 0; c < to.cols; ++c)
    if (std::ranges::binary_search(factor.dead, factor.order[static_cast<size_t>(c)]))
      backend.fill(to.cols_of(c, c + 1), 0);
}

double sum_of_squares(Backend& backend, ConstView m, std::span<const double> weights) {
  constexpr int64_t kColumns = 256;
  HostAllocator host;
  Tensor staging;
  if (m.place != Place::host)
    staging = Tensor(host, m.rows, std::min(m.cols, kColumns), DType::f32);
  double total = 0;
  for (int64_t begin = 0; begin < m.cols; begin += kColumns) {
    const int64_t end = std::min(m.cols, begin + kColumns);
    ConstView part = m.cols_of(begin, end);
    if (m.place != Place::host) {
      backend.download(part, staging.view().cols_of(0, end - begin));
      part = staging.view().cols_of(0, end - begin);
    }
    std::vector<double> sums(static_cast<size_t>(end - begin));
    for (int64_t r = 0; r < part.rows; ++r) {
      const float* row = part.row<float>(r);
      for (size_t c = 0; c < sums.size(); ++c) sums[c] += static_cast<double>(row[c]) * row[c];
    }
    for (size_t c = 0; c < sums.size(); ++c)
      total += sums[c] * (weights.empty() ? 1.0 : weights[static_cast<size_t>(begin) + c]);
  }
  return total;
}

double quadratic_form_of_product(Backend& backend, const Factor& factor, ConstView product,
                                 double squares) {
  const double damped = sum_of_squares(backend, product, factor.pivots);
  const double form = damped - factor.lambda * squares;
  return form < 0 ? 0 : form;  // what is not a number stays so
}

double quadratic_form(Backend& backend, const Factor& factor, ConstView m, View scratch) {
  backend.copy(m, scratch);
  const ConstView lower = factor.lower, blocks = factor.blocks;
  for (int64_t begin = 0; begin < m.cols; begin += Factor::kBlock) {
    const int64_t end = std::min(m.cols, begin + Factor::kBlock);
    const ConstView columns = m.cols_of(begin, end);
    backend.multiply_add(columns, blocks.rows_of(begin, end).cols_of(0, end - begin),
                         scratch.cols_of(begin, end));
    if (begin > 0)
      backend.multiply_add(columns, lower.rows_of(begin, end).cols_of(0, begin),
                           scratch.cols_of(0, begin));
  }
  return quadratic_form_of_product(backend, factor, scratch, sum_of_squares(backend, m));
}

LayerError layer_error(Backend& backend, ConstView weight, const QuantizedMatrix& quantized,
                       const Factor& factor) {
  constexpr int64_t kPanelRows = 1024;
  const int64_t rows = weight.rows, cols = weight.cols, most = std::min(rows, kPanelRows);
  HostAllocator host;
  Tensor values(host, most, cols, DType::f32), rounded(host, most, cols, DType::f32);
  Tensor original = backend.allocate(most, cols, DType::f32);
  Tensor factored = backend.allocate(most, cols, DType::f32);
  LayerError sum;
  for (int64_t begin = 0; begin < rows; begin += kPanelRows) {
    const int64_t end = std::min(rows, begin + kPanelRows), count = end - begin;
    const View v = values.view().rows_of(0, count), q = rounded.view().rows_of(0, count);
    const View o = original.view().rows_of(0, count), f = factored.view().rows_of(0, count);
    gather_factored(backend, factor, weight.rows_of(begin, end), f);
    sum.energy += quadratic_form(backend, factor, f, o);
    backend.download(weight.rows_of(begin, end), v);
    dequantize(quantized, begin, end, q);
    for (int64_t i = 0; i < count * cols; ++i) v.row<float>(0)[i] -= q.row<float>(0)[i];
    backend.upload(v, o);
    gather_factored(backend, factor, o, f);
    sum.error += quadratic_form(backend, factor, f, o);
  }
  return sum;
}

}  // namespace halftone
