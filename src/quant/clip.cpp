// Candidates are whole matrices of scales; the host makes them, and picks for each group.
#include "quant/clip.h"

#include <algorithm>
#include <vector>

#include "backend/grid_candidate.h"
#include "quant/channel_operations.h"
#include "quant/device_matrix.h"
#include "quant/fit_scales.h"

namespace halftone {
namespace {

constexpr int kCandidates = 10;  // p = 1 − i / 20: AutoAWQ's max_shrink 0.5 of n_grid 20
constexpr int kPercent = 5;
constexpr int64_t kPanelRows = 1024;  // rows do not depend on each other: this bounds the memory
constexpr int64_t kGrain = 16;        // rows that a thread takes at a time

// Scales and zeros of a panel's groups on the host, and what they lose.
struct Ranges {
  Ranges(Backend& backend, int64_t rows, int64_t groups)
      : scales(backend.host_allocator(), rows, groups, DType::f32),
        zeros(backend.host_allocator(), rows, groups, DType::u8),
        losses(backend.host_allocator(), rows, groups, DType::f32) {}
  Tensor scales, zeros, losses;
};

GroupRange range_of(const float* begin, const float* end) {
  GroupRange range;
  for (const float* value = begin; value < end; ++value) {
    range.low = std::min(range.low, *value);
    range.high = std::max(range.high, *value);
  }
  return range;
}

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
    find_ranges(weight, groups);
    Ranges best(backend_, rows, groups), candidate(backend_, rows, groups);
    for (int i = 0; i < kCandidates; ++i) {
      Ranges& tried = i == 0 ? best : candidate;
      make_candidate(i * kPercent, tried);
      evaluate(weight, tried);
      if (i > 0) keep_better(candidate, best);
    }
    backend_.upload(best.scales, scales);
    backend_.upload(best.zeros, zeros);
  }

 private:
  template <class Body>
  void for_rows(int64_t rows, Body body) {
    backend_.host_threads().parallel_for(rows, kGrain, [&](int64_t begin, int64_t end) {
      for (int64_t row = begin; row < end; ++row) body(row);
    });
  }

  void find_ranges(ConstView weight, int64_t groups) {
    Tensor memory;
    ConstView values = weight;
    if (weight.place != Place::host) {
      memory = Tensor(backend_.host_allocator(), weight.rows, weight.cols, DType::f32);
      backend_.download(weight, memory);
      values = memory;
    }
    const int64_t width = options_.fit.grid.group_width(weight.cols);
    ranges_.resize(static_cast<size_t>(weight.rows * groups));
    for_rows(weight.rows, [&](int64_t row) {
      for (int64_t group = 0; group < groups; ++group) {
        const float* begin = values.row<float>(row) + group * width;
        const float* end = values.row<float>(row) + std::min((group + 1) * width, weight.cols);
        ranges_[static_cast<size_t>(row * groups + group)] = range_of(begin, end);
      }
    });
  }

  void make_candidate(int percent, Ranges& to) {
    const int64_t groups = to.scales.cols();
    for_rows(to.scales.rows(), [&](int64_t row) {
      for (int64_t group = 0; group < groups; ++group) {
        const GroupRange range = ranges_[static_cast<size_t>(row * groups + group)];
        const ScaleAndZero found = grid_candidate(options_.fit, range, percent);
        to.scales.row<float>(row)[group] = found.scale;
        to.zeros.row<uint8_t>(row)[group] = static_cast<uint8_t>(found.zero);
      }
    });
  }

  void evaluate(ConstView weight, Ranges& tried) {
    const int64_t rows = weight.rows;
    const View errors = errors_.view().rows_of(0, rows), product = product_.view().rows_of(0, rows);
    const View scales = matrix_.scales.view().rows_of(0, rows),
               zeros = matrix_.zeros.view().rows_of(0, rows);
    backend_.upload(tried.scales, scales);
    backend_.upload(tried.zeros, zeros);
    const CodeView codes{matrix_.codes.view().rows_of(0, rows), scales, zeros, matrix_.group_of};
    backend_.encode(weight, options_.fit.grid, codes);
    backend_.code_errors(weight, codes, errors);
    options_.moments->multiply(backend_, errors, product);
    dot_groups(backend_, errors, product, options_.moments->width(), tried.losses);
  }

  void keep_better(const Ranges& candidate, Ranges& best) {
    for_rows(best.losses.rows(), [&](int64_t row) {
      for (int64_t group = 0; group < best.losses.cols(); ++group) {
        if (!(candidate.losses.row<float>(row)[group] < best.losses.row<float>(row)[group]))
          continue;
        best.losses.row<float>(row)[group] = candidate.losses.row<float>(row)[group];
        best.scales.row<float>(row)[group] = candidate.scales.row<float>(row)[group];
        best.zeros.row<uint8_t>(row)[group] = candidate.zeros.row<uint8_t>(row)[group];
      }
    });
  }

  Backend& backend_;
  const SolverOptions& options_;
  DeviceMatrix matrix_;
  Tensor errors_, product_;
  std::vector<GroupRange> ranges_;  // (rows, groups)
};

// The blocks' diagonals, halved, join what is below them.
void add_half_diagonals(Backend& backend, const std::vector<float>& diagonal, View blocks) {
  const Tensor host(backend.host_allocator(), blocks.rows, blocks.cols, DType::f32);
  backend.download(blocks, host);
  for (int64_t row = 0; row < blocks.rows; ++row)
    host.row<float>(row)[row % blocks.cols] = diagonal[static_cast<size_t>(row)] / 2;
  backend.upload(host, blocks);
}

}  // namespace

GroupMoments::GroupMoments(Backend& backend, const Hessian& hessian, int64_t width)
    : width_(width), half_(backend.allocate(hessian.inputs(), width, DType::f32)) {
  backend.copy_diagonal_blocks(hessian.sum(), half_);
  add_half_diagonals(backend, hessian.diagonal(), half_);
}

void GroupMoments::multiply(Backend& backend, ConstView errors, View product) const {
  const ConstView half = half_;
  backend.fill(product, 0);
  for (int64_t begin = 0; begin < errors.cols; begin += width_) {
    const int64_t end = std::min(begin + width_, errors.cols);
    backend.multiply_add(errors.cols_of(begin, end),
                         half.rows_of(begin, end).cols_of(0, end - begin),
                         product.cols_of(begin, end));
  }
}

void fit_ranges(Backend& backend, ConstView weight, const SolverOptions& options, View scales,
                View zeros, std::span<const float> importance) {
  const bool clips = options.clip && options.moments != nullptr;
  if (!clips || !has_plain_levels(options.fit.grid)) {
    GridFit fit = options.fit;
    if (clips) fit.search = ScaleSearch::importance;
    return fit_scales(backend, weight, fit, scales, zeros, importance);
  }
  Clipper clipper(backend, options, std::min(weight.rows, kPanelRows), weight.cols);
  for (int64_t begin = 0; begin < weight.rows; begin += kPanelRows) {
    const int64_t end = std::min(begin + kPanelRows, weight.rows);
    clipper.fit(weight.rows_of(begin, end), scales.rows_of(begin, end), zeros.rows_of(begin, end));
  }
}

}  // namespace halftone
