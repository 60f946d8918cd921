// H' = L D Lᵀ with damping that escalates: docs/methods.md §3 and §5.
#include "quant/factor.h"

#include <fmt/core.h>

#include <algorithm>
#include <cassert>
#include <cmath>
#include <numeric>
#include <optional>
#include <utility>

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
  std::optional<Hessian> hessian;
  bool small = false;        // factored in f64 at once
  Tensor parked;             // or this: its sum in the host's memory
  double scale = 0;          // 2/N
  std::vector<double> sums;  // the diagonal of the sum, 1/scale where dead
  double mean = 0;           // of `sums`
  int64_t inputs() const { return static_cast<int64_t>(sums.size()); }
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

// A device that holds a matrix in f64 need not hold the one in f32 beside it: that one waits in the
// host's memory, in factored order; where not even two in f32 have room, as it is.
void park(Backend& backend, Problem& problem, std::span<const int32_t> order) {
  if (backend.place() == Place::host || !problem.hessian || problem.small) return;
  const int64_t n = problem.inputs();
  problem.parked = Tensor(backend.host_allocator(), n, n, DType::f32);
  if (Factor::parks(backend, n)) {
    backend.download(problem.hessian->sum(), problem.parked);
    problem.hessian.reset();
    return;
  }
  const Tensor gathered = backend.allocate(n, n, DType::f32);
  backend.gather_symmetric(problem.hessian->sum(), order, 0, 0, gathered);
  problem.hessian.reset();
  backend.download(gathered, problem.parked);
}

// A panel of rows of what is parked as it is, gathered by the host.
void gather_rows(ThreadPool& threads, const Tensor& parked, std::span<const int32_t> order,
                 int64_t begin, View panel) {
  threads.parallel_for(panel.rows, 1, [&](int64_t i, int64_t) {
    const int32_t row = order[static_cast<size_t>(begin + i)];
    for (int64_t j = 0; j < panel.cols; ++j) {
      const int32_t col = order[static_cast<size_t>(j)];
      panel.row<float>(i)[j] =
          j <= begin + i ? parked.row<float>(std::max(row, col))[std::min(row, col)] : 0;
    }
  });
}

// gather_symmetric() of what is parked.
void gather_parked(Backend& backend, const Problem& problem, std::span<const int32_t> order,
                   double lambda, View a) {
  constexpr int64_t kRows = 256;
  const int64_t n = problem.inputs();
  if (!Factor::parks(backend, n)) {
    backend.upload(problem.parked, a);
  } else {
    const Tensor panel(backend.host_allocator(), std::min(n, kRows), n, DType::f32);
    for (int64_t begin = 0; begin < n; begin += kRows) {
      const int64_t end = std::min(n, begin + kRows);
      const View rows = panel.view().rows_of(0, end - begin);
      gather_rows(backend.host_threads(), problem.parked, order, begin, rows);
      backend.upload(rows, a.rows_of(begin, end));
    }
  }
  std::vector<double> diagonal;
  for (const int32_t column : order)
    diagonal.push_back(problem.sums[static_cast<size_t>(column)] + lambda);
  View to = a;
  to.cols = 1;
  to.ld = n + 1;
  backend.upload(ConstView{diagonal.data(), n, 1, 1, DType::f64, Place::host}, to);
}

// One factorization of H + damping in the given precision; false when it failed or is not exact
// enough. The Hessian is freed when it has served.
bool attempt(Backend& backend, Problem& problem, double damping, DType dtype, Factor& factor) {
  const int64_t n = problem.inputs();
  const double lambda = damping * problem.mean;
  if (dtype == DType::f64 || Factor::parks(backend, n)) park(backend, problem, factor.order);
  Tensor a = backend.allocate(n, n, dtype);
  Tensor status = backend.allocate(1, 1, DType::i32);
  if (problem.hessian)
    backend.gather_symmetric(problem.hessian->sum(), factor.order, 1 / problem.scale, lambda, a);
  else
    gather_parked(backend, problem, factor.order, lambda, a);
  backend.factor_ldl(a, status);
  int32_t failed = 0;
  backend.download(status, View{&failed, 1, 1, 1, DType::i32, Place::host});
  if (failed != 0) return false;

  std::vector<float> pivots(static_cast<size_t>(n));
  const View& factored = a.view();
  backend.download(ConstView{factored.data, n, 1, n + 1, dtype, factored.place}, column_of(pivots));
  double cancellation = 0;
  factor.pivots.resize(pivots.size());
  for (size_t k = 0; k < pivots.size(); ++k) {
    const double damped = problem.sums[static_cast<size_t>(factor.order[k])] + lambda;
    cancellation = std::max(cancellation, damped / static_cast<double>(pivots[k]));
    factor.pivots[k] = problem.scale * static_cast<double>(pivots[k]);
  }
  factor.damping = damping;
  factor.lambda = problem.scale * lambda;
  if (cancellation > (dtype == DType::f64 ? kMaxCancellationF64 : kMaxCancellationF32))
    return false;

  problem.hessian.reset();  // makes room for the copy
  if (dtype == DType::f64 && !problem.parked.empty()) {
    backend.download(a, problem.parked);
    a = Tensor();
    factor.lower = backend.allocate(n, n, DType::f32);
    backend.upload(problem.parked, factor.lower);
  } else if (dtype == DType::f64) {
    factor.lower = backend.allocate(n, n, DType::f32);
    backend.copy(a, factor.lower);
  } else {
    factor.lower = std::move(a);
  }
  return true;
}

// H' := its diagonal: every column on its own, which is rounding to nearest in another order.
void keep_diagonal(Backend& backend, const Problem& problem, double damping, Factor& factor) {
  const int64_t n = problem.inputs();
  factor.lower = backend.allocate(n, n, DType::f32);
  backend.fill(factor.lower, 0);
  factor.damping = damping;
  factor.lambda = problem.scale * damping * problem.mean;
  factor.pivots.resize(static_cast<size_t>(n));
  for (size_t k = 0; k < factor.pivots.size(); ++k)
    factor.pivots[k] =
        problem.scale * problem.sums[static_cast<size_t>(factor.order[k])] + factor.lambda;
}

// f32 unless the Hessian is small, then f64 where the device has it, then more and more damping,
// then the diagonal.
void factorize(Backend& backend, Problem& problem, double damping, Factor& factor) {
  if (!problem.small && attempt(backend, problem, damping, DType::f32, factor)) return;
  const bool exact = backend.info().f64 && !Factor::parks(backend, problem.inputs());
  const DType dtype = exact ? DType::f64 : DType::f32;
  const std::string how = exact && !problem.small ? "factored in f64" : "";
  if (exact && attempt(backend, problem, damping, dtype, factor)) {
    factor.note = how;
    return;
  }
  for (double step = 0.01; damping < 1; step *= 2) {
    damping = std::min(1.0, damping + step);
    if (attempt(backend, problem, damping, dtype, factor)) {
      factor.note =
          fmt::format("{}{}damping raised to {:.3g}", how, how.empty() ? "" : "; ", damping);
      return;
    }
  }
  keep_diagonal(backend, problem, damping, factor);
  factor.note = "not positive definite with any damping: only the Hessian's diagonal used";
}

}  // namespace

bool Factor::parks(const Backend& backend, int64_t inputs) {
  constexpr int64_t kMost = 40'000;
  return backend.place() == Place::device && inputs > kMost;
}

Factor Factor::compute(Backend& backend, Hessian&& hessian, ColumnOrder order, double damping,
                       int64_t exact_inputs) {
  Factor factor;
  Problem problem{std::move(hessian)};
  problem.small = backend.info().f64 && problem.hessian->inputs() <= exact_inputs;
  const int64_t tokens = problem.hessian->tokens();
  const std::vector<float> sums = problem.hessian->diagonal();
  if (tokens == 0) {
    factor.note = "no calibration token reached it";
  } else if (!std::ranges::all_of(sums, [](float sum) { return std::isfinite(sum); })) {
    factor.note = "its activations overflowed in calibration";
  } else if (std::ranges::all_of(sums, [](float sum) { return sum == 0; })) {
    factor.note = "its activations were all zero in calibration";
  }
  if (!factor.note.empty()) return factor;

  problem.scale = 2.0 / static_cast<double>(tokens);
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
  factor.blocks = backend.allocate(factor.inputs(), std::min(kBlock, factor.inputs()), DType::f32);
  backend.copy_diagonal_blocks(factor.lower, factor.blocks);
  return factor;
}

std::vector<float> Factor::importance() const {
  const double sum = std::accumulate(diagonal.begin(), diagonal.end(), 0.0);
  const double mean = sum / static_cast<double>(diagonal.size()) + lambda;
  std::vector<float> importance;
  for (const double square : diagonal)
    importance.push_back(static_cast<float>((square + lambda) / mean));
  return importance;
}

void gather_factored(Backend& backend, const Factor& factor, ConstView from, View to) {
  backend.gather_columns(from, factor.order, to);
  if (factor.dead.empty()) return;
  for (int64_t c = 0; c < to.cols; ++c)
    if (std::ranges::binary_search(factor.dead, factor.order[static_cast<size_t>(c)]))
      backend.fill(to.cols_of(c, c + 1), 0);
}

}  // namespace halftone
