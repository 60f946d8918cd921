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

// A group's weights, and how much the error of each counts; empty: all alike.
struct Group {
  std::span<const float> weights, importance;
};

// Σ importance · |w − ŵ|^exponent.
double loss(const Group& group, const GridFit& fit, ScaleAndZero candidate) {
  const double exponent = exponent_of(fit, !group.importance.empty());
  const float zero = static_cast<float>(candidate.zero);
  const float largest = static_cast<float>(fit.grid.levels() - 1);
  double sum = 0;
  for (size_t i = 0; i < group.weights.size(); ++i) {
    const float weight = group.weights[i];
    const float code = std::clamp(std::nearbyint(weight / candidate.scale) + zero, 0.0f, largest);
    const double error = static_cast<double>(weight) - candidate.scale * (code - zero);
    sum += (group.importance.empty() ? 1.0 : group.importance[i]) *
           std::pow(std::abs(error), exponent);
  }
  return sum;
}

ScaleAndZero best_candidate(const Group& group, const GridFit& fit) {
  const GroupRange range = range_of(group.weights);
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

void RefBackend::fit_grid(ConstView w, const GridFit& fit, ConstView importance, View scales,
                          View zeros) {
  const int64_t width = fit.grid.group_width(w.cols), groups = fit.grid.groups(w.cols);
  assert(scales.rows == w.rows && scales.cols == groups);
  assert(zeros.rows == w.rows && zeros.cols == groups);
  const std::vector<float> counts =
      importance.empty() ? std::vector<float>() : load_row(importance, 0);
  for (int64_t row = 0; row < w.rows; ++row) {
    const std::vector<float> weights = load_row(w, row);
    for (int64_t group = 0; group < groups; ++group) {
      const int64_t begin = group * width, end = std::min(begin + width, w.cols);
      const auto of_group = [begin, end](const std::vector<float>& values) {
        return values.empty() ? std::span<const float>()
                              : std::span(values.data() + begin, values.data() + end);
      };
      const ScaleAndZero best = best_candidate({of_group(weights), of_group(counts)}, fit);
      scales.row<float>(row)[group] = best.scale;
      zeros.row<uint8_t>(row)[group] = static_cast<uint8_t>(best.zero);
    }
  }
}

}  // namespace halftone::ref
