// Candidates are whole matrices of scales; the host picks for each group.
#include "quant/clip.h"

#include <algorithm>
#include <vector>

#include "quant/device_matrix.h"
#include "quant/fit_scales.h"

namespace halftone {
namespace {

constexpr int kCandidates = 10;  // p = 1 − i / 20: AutoAWQ's max_shrink 0.5 of n_grid 20
constexpr float kStep = 0.05f;
constexpr int64_t kPanelRows = 1024;  // rows do not depend on each other: this bounds the memory

std::vector<float> halves(std::vector<float> values) {
  for (float& value : values) value /= 2;
  return values;
}

// Scales and zeros of a panel's groups on the host, and what they lose.
struct Ranges {
  Ranges(Backend& backend, int64_t rows, int64_t groups)
      : scales(backend.host_allocator(), rows, groups, DType::f32),
        zeros(backend.host_allocator(), rows, groups, DType::u8),
        losses(backend.host_allocator(), rows, groups, DType::f32) {}
  Tensor scales, zeros, losses;
};

class Clipper {
 public:
  Clipper(Backend& backend, const SolverOptions& options, int64_t rows, int64_t cols)
      : backend_(backend),
        options_(options),
        matrix_(backend, options.fit.grid, rows, cols),
        errors_(backend.allocate(rows, cols, DType::f32)),
        product_(backend.allocate(rows, cols, DType::f32)) {}

  void fit(ConstView weight, View scales, View zeros) {
    const int64_t rows = weight.rows, groups = scales.cols;
    Ranges best(backend_, rows, groups), candidate(backend_, rows, groups);
    for (int i = 0; i < kCandidates; ++i) {
      evaluate(weight, 1 - kStep * static_cast<float>(i), i == 0 ? best : candidate);
      if (i > 0) keep_better(candidate, best);
    }
    backend_.upload(best.scales, scales);
    backend_.upload(best.zeros, zeros);
  }

 private:
  void evaluate(ConstView weight, float shrink, Ranges& to) {
    const int64_t rows = weight.rows;
    const View errors = errors_.view().rows_of(0, rows), product = product_.view().rows_of(0, rows);
    const View scales = matrix_.scales.view().rows_of(0, rows),
               zeros = matrix_.zeros.view().rows_of(0, rows);
    GridFit fit = options_.fit;
    fit.search = ScaleSearch::minmax;
    const std::vector<float> shrinks(static_cast<size_t>(weight.cols), shrink);
    Diagonal(backend_, shrinks).multiply(backend_, weight, errors);
    backend_.fit_grid(errors, fit, scales, zeros);
    const CodeView codes{matrix_.codes.view().rows_of(0, rows), scales, zeros, matrix_.group_of};
    backend_.encode(weight, fit.grid, codes);
    backend_.code_errors(weight, codes, errors);
    options_.moments->multiply(backend_, errors, product);
    dot_groups(backend_, errors, product, options_.moments->width(), to.losses);
    backend_.download(scales, to.scales);
    backend_.download(zeros, to.zeros);
  }

  static void keep_better(const Ranges& candidate, Ranges& best) {
    for (int64_t row = 0; row < best.losses.rows(); ++row)
      for (int64_t group = 0; group < best.losses.cols(); ++group) {
        if (!(candidate.losses.row<float>(row)[group] < best.losses.row<float>(row)[group]))
          continue;
        best.losses.row<float>(row)[group] = candidate.losses.row<float>(row)[group];
        best.scales.row<float>(row)[group] = candidate.scales.row<float>(row)[group];
        best.zeros.row<uint8_t>(row)[group] = candidate.zeros.row<uint8_t>(row)[group];
      }
  }

  Backend& backend_;
  const SolverOptions& options_;
  DeviceMatrix matrix_;
  Tensor errors_, product_;
};

}  // namespace

GroupMoments::GroupMoments(Backend& backend, const Hessian& hessian, int64_t width)
    : width_(width),
      lower_(backend.allocate(hessian.inputs(), width, DType::f32)),
      diagonal_(backend, halves(hessian.diagonal())) {
  backend.copy_diagonal_blocks(hessian.sum(), lower_);
}

void GroupMoments::multiply(Backend& backend, ConstView errors, View product) const {
  diagonal_.multiply(backend, errors, product);
  const ConstView lower = lower_;
  for (int64_t begin = 0; begin < errors.cols; begin += width_) {
    const int64_t end = std::min(begin + width_, errors.cols);
    backend.multiply_add(errors.cols_of(begin, end),
                         lower.rows_of(begin, end).cols_of(0, end - begin),
                         product.cols_of(begin, end));
  }
}

void fit_ranges(Backend& backend, ConstView weight, const SolverOptions& options, View scales,
                View zeros) {
  const bool clips = options.clip && options.moments != nullptr && fits_on_device(options.fit.grid);
  if (!clips) return fit_scales(backend, weight, options.fit, scales, zeros);
  Clipper clipper(backend, options, std::min(weight.rows, kPanelRows), weight.cols);
  for (int64_t begin = 0; begin < weight.rows; begin += kPanelRows) {
    const int64_t end = std::min(begin + kPanelRows, weight.rows);
    clipper.fit(weight.rows_of(begin, end), scales.rows_of(begin, end), zeros.rows_of(begin, end));
  }
}

}  // namespace halftone
