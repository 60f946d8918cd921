// The groups of a row fitted side by side, each in a lane of vectors: the search of
// backend/block_search.h for processors. A template alone, so that what includes it decides the
// instruction set.
#pragma once

#include "backend/block_search.h"

namespace halftone {

constexpr int kBlockLanes = 16;  // groups at a time: of a superblock of Q6_K, two of Q4_K

// One row: its weights, and how much the error of each counts.
struct BlockRow {
  const float* weights;
  const float* counts;  // block_counts(), the same for all rows
  int64_t groups;
  float* scales;   // (groups)
  float* offsets;  // (groups), or null
};

// The group that is in a lane of those from `begin` on: beyond the last group the first
// superblock's once more.
inline int64_t group_in_lane(const BlockGrid& grid, int64_t groups, int64_t begin, int lane) {
  return begin + lane < groups ? begin + lane : begin + lane % grid.together;
}

// Lanes: kBlockLanes floats, with load() and store() of as many, + − * /, and the functions that
// backend/block_grid.h has for floats.
template <class Lanes>
class BlockLanes {
 public:
  explicit BlockLanes(const BlockGrid& grid) : grid_(grid), search_(grid, LevelSteps{grid}) {}

  // The width of a group at most, and of how many a superblock may be.
  static constexpr int kWidest = 512;
  static bool takes(const BlockGrid& grid) {
    return grid.width <= kWidest && grid.together <= kBlockLanes &&
           kBlockLanes % grid.together == 0;
  }

  void fit(const BlockRow& row) {
    for (int64_t begin = 0; begin < row.groups; begin += kBlockLanes) {
      const Values found = fit_groups(row, begin);
      float scales[kBlockLanes], offsets[kBlockLanes];
      found.scale.store(scales);
      found.offset.store(offsets);
      for (int lane = 0; lane < kBlockLanes && begin + lane < row.groups; ++lane) {
        row.scales[begin + lane] = scales[lane];
        if (row.offsets != nullptr) row.offsets[begin + lane] = offsets[lane];
      }
    }
  }

 private:
  struct Group {
    const float* weights;
    const float* counts;
    int count;
    Lanes weight(int i) const { return Lanes::load(weights + i * kBlockLanes); }
    Lanes importance(int i) const { return Lanes::load(counts + i * kBlockLanes); }
  };
  // Levels by adding up the steps below.
  struct LevelSteps {
    const BlockGrid& grid;
    Lanes operator()(const Lanes& whole) const {
      Lanes level = grid.lowest_level;
      for (int i = 0; i < BlockGrid::kLevels - 1; ++i)
        level = level + where_less(whole, grid.steps[i], 0, grid.rises[i]);
      return level;
    }
  };
  using Search = BlockSearch<Lanes, LevelSteps>;
  using Values = typename Search::Values;

  Values fit_groups(const BlockRow& row, int64_t begin) {
    for (int lane = 0; lane < kBlockLanes; ++lane) {
      const int64_t own = group_in_lane(grid_, row.groups, begin, lane);
      for (int i = 0; i < grid_.width; ++i)
        weights_[i * kBlockLanes + lane] = row.weights[own * grid_.width + i];
    }
    const Group group{weights_, row.counts + begin * grid_.width, grid_.width};
    return grid_.superblocks ? fit_superblocks(group) : search_.stored(search_.fit(group));
  }

  Values fit_superblocks(const Group& group) const {
    typename Search::Member member = search_.member(group);
    member.largest = {
        over_superblocks(member.wanted.scale,
                         [](float a, float b) { return size(b) > size(a) ? b : a; }),
        over_superblocks(member.wanted.offset, [](float a, float b) { return b > a ? b : a; })};
    for (int i = 0; i < search_.trials(); ++i) {
      const auto found = search_.try_unit(group, member, i);
      const Lanes sum = over_superblocks(found.loss, [](float a, float b) { return a + b; });
      search_.take_unit(found.values, sum, i, member);
    }
    return search_.found(member);
  }

  static float size(float x) { return x < 0 ? -x : x; }

  // In every lane what its superblock's make together, from the first to the last, and 0 before.
  template <class Fold>
  Lanes over_superblocks(const Lanes& x, const Fold& fold) const {
    float lanes[kBlockLanes];
    x.store(lanes);
    for (int begin = 0; begin < kBlockLanes; begin += grid_.together) {
      float together = 0;
      for (int i = 0; i < grid_.together; ++i) together = fold(together, lanes[begin + i]);
      for (int i = 0; i < grid_.together; ++i) lanes[begin + i] = together;
    }
    return Lanes::load(lanes);
  }

  const BlockGrid& grid_;
  const Search search_;
  float weights_[kWidest * kBlockLanes];
};

}  // namespace halftone
