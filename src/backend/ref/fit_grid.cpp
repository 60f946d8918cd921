// Reference backend: scales and zeros of each row's groups, docs/methods.md §2 word for word.
#include <algorithm>
#include <cassert>
#include <cmath>

#include "backend/grid_candidate.h"
#include "backend/ref/element.h"
#include "backend/ref/ref_operations.h"

namespace halftone::ref {
namespace {

GroupRange range_of(std::span<const float> group) {
  GroupRange range;
  for (float weight : group) {
    assert(std::isfinite(weight));
    range.low = std::min(range.low, weight);
    range.high = std::max(range.high, weight);
  }
  return range;
}

// Σ |w − ŵ|^power.
double loss(std::span<const float> group, const GridFit& fit, ScaleAndZero candidate) {
  const float zero = static_cast<float>(candidate.zero);
  const float largest = static_cast<float>(fit.grid.levels() - 1);
  double sum = 0;
  for (float weight : group) {
    const float code = std::clamp(std::nearbyint(weight / candidate.scale) + zero, 0.0f, largest);
    const double error = static_cast<double>(weight) - candidate.scale * (code - zero);
    sum += std::pow(std::abs(error), static_cast<double>(fit.power));
  }
  return sum;
}

ScaleAndZero best_candidate(std::span<const float> group, const GridFit& fit) {
  const GroupRange range = range_of(group);
  ScaleAndZero best = grid_candidate(fit, range, 0);
  if (fit.search == ScaleSearch::minmax || range.all_zero()) return best;
  double least = loss(group, fit, best);
  for (int i = 1; i < candidates(fit); ++i) {
    const ScaleAndZero candidate = grid_candidate(fit, range, i);
    const double candidate_loss = loss(group, fit, candidate);
    if (candidate_loss < least) {
      least = candidate_loss;
      best = candidate;
    }
  }
  return best;
}

}  // namespace

void RefBackend::fit_grid(ConstView w, const GridFit& fit, View scales, View zeros) {
  const int64_t width = fit.grid.group_width(w.cols), groups = fit.grid.groups(w.cols);
  assert(scales.rows == w.rows && scales.cols == groups);
  assert(zeros.rows == w.rows && zeros.cols == groups);
  for (int64_t row = 0; row < w.rows; ++row) {
    const std::vector<float> weights = load_row(w, row);
    for (int64_t group = 0; group < groups; ++group) {
      const int64_t begin = group * width, end = std::min(begin + width, w.cols);
      const std::span<const float> values(weights.data() + begin, weights.data() + end);
      const ScaleAndZero best = best_candidate(values, fit);
      scales.row<float>(row)[group] = best.scale;
      zeros.row<uint8_t>(row)[group] = static_cast<uint8_t>(best.zero);
    }
  }
}

}  // namespace halftone::ref
