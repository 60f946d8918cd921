// Scales and zeros of each row's groups, as docs/methods.md §2 defines them. Each candidate's loss
// is summed in f32 over vectors of weights; those that cannot win are left early, which never
// changes the choice.
#include <algorithm>
#include <cassert>
#include <cmath>
#include <vector>

#include "backend/cpu/quant_ops.h"
#include "backend/cpu/simd/quantizer_kernels.h"
#include "backend/grid_candidate.h"

namespace halftone::cpu {
namespace {

GroupRange range_of(const float* weights, int64_t count) {
  GroupRange range;
  for (int64_t i = 0; i < count; ++i) {
    assert(std::isfinite(weights[i]));
    range.low = std::min(range.low, weights[i]);
    range.high = std::max(range.high, weights[i]);
  }
  return range;
}

// A number of weights as the kernels take them.
int64_t padded(int64_t count) {
  return (count + simd::kLossPadding - 1) / simd::kLossPadding * simd::kLossPadding;
}

// The importance of each column, group by group, each filled up with zeros.
std::vector<float> padded_importance(const float* importance, int64_t cols, int64_t width) {
  std::vector<float> values(static_cast<size_t>((cols + width - 1) / width * padded(width)));
  for (int64_t col = 0; col < cols; ++col)
    values[static_cast<size_t>(col / width * padded(width) + col % width)] = importance[col];
  return values;
}

// Searches the groups of one chunk of rows; holds the scratch that they share.
class GroupSearch {
 public:
  GroupSearch(const GridFit& fit, const simd::PowerTable& table,
              const simd::QuantizerKernels& kernels, int64_t width)
      : fit_(fit), table_(table), kernels_(kernels), scaled_(static_cast<size_t>(padded(width))) {}

  // importance of each weight, zeros up to padded(count); null: all alike.
  ScaleAndZero best(const float* weights, const float* importance, int64_t count) {
    const GroupRange range = range_of(weights, count);
    importance_ = importance;
    ScaleAndZero best = grid_candidate(fit_, range, 0);
    if (fit_.search == ScaleSearch::minmax || range.all_zero()) return best;
    rescale(weights, count, range);
    end_importance_ = importance != nullptr ? least_at_ends(weights, count, range) : 1;
    float least = loss_of(best, padded(count), INFINITY);
    double affordable = affordable_error(least);
    ScaleAndZero previous = best;
    for (int i = 1; i < candidates(fit_); ++i) {
      const ScaleAndZero candidate = grid_candidate(fit_, range, i);
      if (candidate == previous) continue;
      previous = candidate;
      // The largest weight alone would lose more, also in all candidates that are narrower.
      if (clipped(range, candidate) > affordable) break;
      const float loss = loss_of(candidate, padded(count), least);
      if (loss < least) {
        least = loss;
        best = candidate;
        affordable = affordable_error(least);
      }
    }
    return best;
  }

 private:
  float loss_of(const ScaleAndZero& candidate, int64_t count, float limit) const {
    return importance_ != nullptr
               ? kernels_.weighed_loss(scaled_.data(), importance_, count, codes_of(candidate),
                                       limit)
               : kernels_.candidate_loss(scaled_.data(), count, codes_of(candidate), table_, limit);
  }

  // The least importance among the weights that the range is of.
  float least_at_ends(const float* weights, int64_t count, GroupRange range) const {
    const float largest = std::max(-range.low, range.high);
    float least = INFINITY;
    for (int64_t i = 0; i < count; ++i) {
      const bool end = fit_.grid.symmetric ? std::abs(weights[i]) == largest
                                           : weights[i] == range.low || weights[i] == range.high;
      if (end) least = std::min(least, importance_[i]);
    }
    return least;
  }

  // Copies the weights in units of unit_, a power of two (so nothing is rounded), and fills up with
  // zeros, which are free of loss.
  void rescale(const float* weights, int64_t count, GroupRange range) {
    unit_ = std::ilogb(std::max(-range.low, range.high));
    // Two factors: 2^-unit overflows when all weights are subnormal.
    const float first = std::ldexp(1.0f, -unit_ / 2);
    const float second = std::ldexp(1.0f, -unit_ - -unit_ / 2);
    for (int64_t i = 0; i < count; ++i)
      scaled_[static_cast<size_t>(i)] = weights[i] * first * second;
    std::fill(scaled_.begin() + count, scaled_.begin() + padded(count), 0.0f);
  }

  simd::CandidateCodes codes_of(const ScaleAndZero& candidate) const {
    const float scale =
        static_cast<float>(std::ldexp(static_cast<double>(candidate.scale), -unit_));
    const float zero = static_cast<float>(candidate.zero);
    return {.scale = scale,
            .inverse_scale = 1 / scale,
            .lowest = -zero,
            .highest = static_cast<float>(fit_.grid.levels() - 1) - zero};
  }

  // The error of a single weight that loses as much as `loss`; a thousandth above, since sums of
  // losses carry rounding errors.
  double affordable_error(float loss) const {
    const double power = exponent_of(fit_, importance_ != nullptr);
    return std::ldexp(std::pow(loss * 1.001 / end_importance_, 1 / power), unit_);
  }

  // At least by how much some weight lies beyond the grid. The grid spans (2^b − 1) · scale about
  // zero, so one end of the range is off by half of what the span lacks (a symmetric grid: by what
  // 2^(b−1) · scale lacks). Grows as scales fall.
  double clipped(GroupRange range, const ScaleAndZero& candidate) const {
    const double low = range.low, high = range.high, scale = candidate.scale;
    return fit_.grid.symmetric ? std::max(-low, high) - fit_.grid.symmetric_zero() * scale
                               : (high - low - (fit_.grid.levels() - 1) * scale) / 2;
  }

  const GridFit& fit_;
  const simd::PowerTable& table_;
  const simd::QuantizerKernels& kernels_;
  std::vector<float> scaled_;
  const float* importance_ = nullptr;
  float end_importance_ = 1;
  int unit_ = 0;  // binary exponent of the largest weight
};

}  // namespace

void cpu_fit_grid(ThreadPool& pool, simd::Isa isa, const GridInputs& in, const GridFit& fit,
                  View scales, View zeros) {
  const ConstView& w = in.w;
  assert(w.dtype == DType::f32 && (in.importance.empty() || in.importance.cols == w.cols));
  const int64_t width = fit.grid.group_width(w.cols), groups = fit.grid.groups(w.cols);
  assert(scales.rows == w.rows && scales.cols == groups && scales.dtype == DType::f32);
  assert(zeros.rows == w.rows && zeros.cols == groups && zeros.dtype == DType::u8);
  const simd::PowerTable table = simd::power_table(fit.power);
  const simd::QuantizerKernels& kernels = simd::quantizer_kernels_for(isa);
  const std::vector<float> counts =
      in.importance.empty() ? std::vector<float>()
                            : padded_importance(in.importance.row<float>(0), w.cols, width);
  constexpr int64_t kRowsAChunk = 4;
  pool.parallel_for(w.rows, kRowsAChunk, [&](int64_t row_begin, int64_t row_end) {
    GroupSearch search(fit, table, kernels, width);
    for (int64_t row = row_begin; row < row_end; ++row) {
      for (int64_t group = 0; group < groups; ++group) {
        const int64_t begin = group * width, end = std::min(begin + width, w.cols);
        const float* importance = counts.empty() ? nullptr : counts.data() + group * padded(width);
        const ScaleAndZero best = search.best(w.row<float>(row) + begin, importance, end - begin);
        scales.row<float>(row)[group] = best.scale;
        zeros.row<uint8_t>(row)[group] = static_cast<uint8_t>(best.zero);
      }
    }
  });
}

}  // namespace halftone::cpu
