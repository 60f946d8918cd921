#include "backend/block_fit.h"

#include <algorithm>
#include <cassert>
#include <cmath>
#include <span>

namespace halftone {
namespace {

// Floats side by side, in loops that a compiler makes vectors of.
struct FloatLanes {
  float lanes[kBlockLanes];

  FloatLanes(float x = 0) { std::fill_n(lanes, kBlockLanes, x); }
  template <class Function>
  static FloatLanes of_each(const Function& function) {
    FloatLanes out;
    for (int i = 0; i < kBlockLanes; ++i) out.lanes[i] = function(i);
    return out;
  }
  static FloatLanes load(const float* x) {
    return of_each([x](int i) { return x[i]; });
  }
  void store(float* x) const { std::copy_n(lanes, kBlockLanes, x); }
};

FloatLanes operator+(const FloatLanes& a, const FloatLanes& b) {
  return FloatLanes::of_each([&](int i) { return a.lanes[i] + b.lanes[i]; });
}
FloatLanes operator-(const FloatLanes& a, const FloatLanes& b) {
  return FloatLanes::of_each([&](int i) { return a.lanes[i] - b.lanes[i]; });
}
FloatLanes operator*(const FloatLanes& a, const FloatLanes& b) {
  return FloatLanes::of_each([&](int i) { return a.lanes[i] * b.lanes[i]; });
}
FloatLanes operator/(const FloatLanes& a, const FloatLanes& b) {
  return FloatLanes::of_each([&](int i) { return a.lanes[i] / b.lanes[i]; });
}
FloatLanes where_less(const FloatLanes& a, const FloatLanes& b, const FloatLanes& x,
                      const FloatLanes& y) {
  return FloatLanes::of_each(
      [&](int i) { return a.lanes[i] < b.lanes[i] ? x.lanes[i] : y.lanes[i]; });
}
FloatLanes lesser(const FloatLanes& a, const FloatLanes& b) {
  return FloatLanes::of_each([&](int i) { return halftone::lesser(a.lanes[i], b.lanes[i]); });
}
FloatLanes greater(const FloatLanes& a, const FloatLanes& b) {
  return FloatLanes::of_each([&](int i) { return halftone::greater(a.lanes[i], b.lanes[i]); });
}
bool any_above_zero(const FloatLanes& x) {
  float largest = 0;
  for (int i = 0; i < kBlockLanes; ++i) largest = halftone::greater(largest, x.lanes[i]);
  return largest > 0;
}
FloatLanes number_of_bits(const FloatLanes& x) {
  return FloatLanes::of_each([&](int i) { return halftone::number_of_bits(x.lanes[i]); });
}
FloatLanes bits_of_number(const FloatLanes& x) {
  return FloatLanes::of_each([&](int i) { return halftone::bits_of_number(x.lanes[i]); });
}
FloatLanes storable_in_f16(const FloatLanes& x) {
  return FloatLanes::of_each([&](int i) { return halftone::storable_in_f16(x.lanes[i]); });
}

void note_table(std::span<const float> levels, BlockGrid& grid) {
  assert(levels.size() == BlockGrid::kLevels);
  grid.lowest_level = levels.front();
  grid.highest_level = levels.back();
  size_t level = 0;
  for (int i = 0; i < BlockGrid::kWholes; ++i) {
    const auto x = static_cast<float>(i - BlockGrid::kWholes / 2);
    const auto distance = [&](size_t k) { return std::abs(x - levels[k]); };
    while (level + 1 < levels.size() && distance(level + 1) < distance(level)) {
      grid.steps[level] = x;
      grid.rises[level] = levels[level + 1] - levels[level];
      ++level;
    }
    grid.nearest[i] = levels[level];
  }
  assert(level + 1 == levels.size());
}

}  // namespace

BlockGrid block_grid(const GridFit& fit, bool weighed) {
  const Grid& from = fit.grid;
  assert(from.group_size > 0 && fit.power >= 2 && fit.power < 4);  // bits of a float, as an int32
  BlockGrid grid{.even = from.table == LevelTable::even,
                 .offsets = from.offsets,
                 .signed_scales = from.signed_scales,
                 .searched = fit.search != ScaleSearch::minmax,
                 .largest = static_cast<float>(from.levels() - 1),
                 .zero = static_cast<float>(from.symmetric_zero()),
                 .width = static_cast<int>(from.group_size),
                 .superblocks = from.superblock > 0};
  grid.exponent_beside_square = (grid.searched && !weighed ? fit.power : 2.0f) / 2 - 1;
  if (!grid.even) note_table(levels_of(from.table), grid);
  if (!grid.superblocks) return grid;
  grid.together = static_cast<int>(from.superblock / from.group_size);
  // Even levels are divided by their scale: never 0.
  const auto multiples = static_cast<float>(1 << from.multiple_bits);
  grid.lowest_scale = grid.even ? 1 : -multiples / 2;
  grid.highest_scale = grid.offsets ? multiples - 1 : multiples / 2 - 1;
  grid.highest_offset = grid.offsets ? grid.highest_scale : 0;
  return grid;
}

std::vector<float> block_counts(const BlockGrid& grid, const float* importance, int64_t groups) {
  std::vector<float> counts;
  counts.reserve(static_cast<size_t>((groups + kBlockLanes - 1) * grid.width));
  for (int64_t begin = 0; begin < groups; begin += kBlockLanes)
    for (int i = 0; i < grid.width; ++i)
      for (int lane = 0; lane < kBlockLanes; ++lane)
        counts.push_back(
            importance == nullptr
                ? 1.0f
                : importance[group_in_lane(grid, groups, begin, lane) * grid.width + i]);
  return counts;
}

void fit_block_row(const BlockGrid& grid, const BlockRow& row) {
  BlockLanes<FloatLanes>(grid).fit(row);
}

void fit_block_rows(ThreadPool& threads, const GridFit& fit, ConstView w, ConstView importance,
                    View scales, View offsets, FitBlockRow fit_row) {
  const BlockGrid grid = block_grid(fit, !importance.empty());
  const int64_t groups = w.cols / grid.width;
  assert(BlockLanes<FloatLanes>::takes(grid));
  assert(groups * grid.width == w.cols && groups % grid.together == 0);
  assert(importance.empty() || importance.cols == w.cols);
  assert(scales.cols == groups && fit.grid.offsets == !offsets.empty());
  const std::vector<float> counts =
      block_counts(grid, importance.empty() ? nullptr : importance.row<float>(0), groups);
  threads.parallel_for(w.rows, 4, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row)
      fit_row(grid, {.weights = w.row<float>(row),
                     .counts = counts.data(),
                     .groups = groups,
                     .scales = scales.row<float>(row),
                     .offsets = offsets.empty() ? nullptr : offsets.row<float>(row)});
  });
}

}  // namespace halftone
