#include "apps/linear_solver.h"

#include <algorithm>

#include "quant/gptq.h"

namespace halftone {
namespace {

// Weights of a panel where the host computes, whose memory is the scarcer.
constexpr int64_t kHostPanelWeights = 16'000'000;

// Panels' reports as one: errors add up, and so do energies.
class ReportSum {
 public:
  void add(const SolveReport& report) {
    if (rows_++ == 0) sum_ = report;
    if (report.relative_error) error_ += *report.relative_error * report.energy;
    energy_ += report.energy;
    if (sum_.note.empty()) sum_.note = report.note;
  }
  SolveReport report() const {
    SolveReport report = sum_;
    report.energy = energy_;
    if (report.relative_error && energy_ > 0) report.relative_error = error_ / energy_;
    return report;
  }

 private:
  SolveReport sum_;
  double error_ = 0, energy_ = 0;
  int rows_ = 0;
};

}  // namespace

int64_t LinearSolver::panel_rows(const Backend& backend, const TensorKey& key, int64_t rows,
                                 int64_t cols) {
  if (key.role != Role::head) return rows;
  const int64_t most = backend.place() == Place::host ? kHostPanelWeights : kMostPanelWeights;
  return std::clamp<int64_t>(most / cols, 1, rows);
}

SolveResult LinearSolver::solve_rows(const PlanRow& row, const SolverOptions& how,
                                     const Factor* factor, int64_t begin, int64_t end) const {
  const Tensor weight = backend.allocate(end - begin, row.cols, DType::f32);
  load(row.key, begin, weight);
  // Each column's error goes, once, to all columns before it.
  const auto rows = static_cast<double>(end - begin), cols = static_cast<double>(row.cols);
  const ProfileScope scope(profile, "solve", factor ? rows * cols * cols : 0);
  return find_method(row.method).solve(backend, weight, factor, how);
}

StageMoments moments_of(Backend& backend, const Hessian& hessian,
                        std::span<const PlanRow* const> rows) {
  StageMoments moments;
  for (const PlanRow* row : rows) {
    const int64_t width = row->grid.group_width(row->cols);
    if (!moments.contains(width)) moments.emplace(width, GroupMoments(backend, hessian, width));
  }
  return moments;
}

SolveResult LinearSolver::solve(const PlanRow& row, const Factor* factor,
                                const StageMoments& moments) const {
  SolverOptions how = options;
  how.profile = profile;
  how.fit.grid = row.grid;
  const auto found = moments.find(row.grid.group_width(row.cols));
  if (found != moments.end()) how.moments = &found->second;
  const int64_t most = panel_rows(backend, row.key, row.rows, row.cols);
  if (most == row.rows) return solve_rows(row, how, factor, 0, row.rows);

  SolveResult whole{{backend, row.grid, row.rows, row.cols}, {}};
  ReportSum reports;
  for (int64_t begin = 0; begin < row.rows; begin += most) {
    const int64_t end = std::min(begin + most, row.rows);
    const SolveResult panel = solve_rows(row, how, factor, begin, end);
    backend.copy(panel.matrix.codes, whole.matrix.codes.view().rows_of(begin, end));
    backend.copy(panel.matrix.scales, whole.matrix.scales.view().rows_of(begin, end));
    backend.copy(panel.matrix.zeros, whole.matrix.zeros.view().rows_of(begin, end));
    reports.add(panel.report);
  }
  whole.report = reports.report();
  return whole;
}

}  // namespace halftone
