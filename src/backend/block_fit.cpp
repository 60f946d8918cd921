#include "backend/block_fit.h"

#include <algorithm>
#include <cassert>
#include <limits>
#include <vector>

#include "backend/block_search.h"

namespace halftone {
namespace {

using Group = GroupWeights<1>;

// The groups of a superblock: multiples of the unit that costs all of them together least.
class Superblock {
 public:
  Superblock(const BlockSearch& search, std::span<const Group> groups)
      : search_(search), groups_(groups), best_(groups.size(), search.nothing()) {
    for (const Group& group : groups) {
      wanted_.push_back(search.fit(group));
      centres_.push_back(search.centre(group, wanted_.back()));
    }
  }

  const std::vector<GroupScale>& fit() {
    GroupScale largest;
    for (const GroupScale& wanted : wanted_) {
      if (BlockSearch::magnitude(wanted.scale) > BlockSearch::magnitude(largest.scale))
        largest.scale = wanted.scale;
      largest.offset = std::max(largest.offset, wanted.offset);
    }
    if (largest.scale == 0) return best_;
    for (int i = 0; i < search_.units(); ++i) try_unit(search_.unit(i, largest), search_.reach());
    if (search_.seeks_further()) try_unit(best_unit_, search_.further());
    return best_;
  }

 private:
  void try_unit(GroupScale unit, Reach reach) {
    float sum = 0;
    std::vector<GroupScale> found;
    for (size_t i = 0; i < groups_.size() && sum < least_; ++i) {
      const auto [values, loss] =
          search_.best_multiples(groups_[i], wanted_[i], centres_[i], unit, reach);
      found.push_back(values);
      sum += loss;
    }
    if (!(sum < least_) || found.size() != groups_.size()) return;
    least_ = sum;
    best_ = found;
    best_unit_ = unit;
  }

  const BlockSearch& search_;
  std::span<const Group> groups_;
  std::vector<GroupScale> wanted_, best_;
  std::vector<float> centres_;
  GroupScale best_unit_;
  float least_ = std::numeric_limits<float>::infinity();
};

}  // namespace

void fit_block_row(const GridFit& fit, const WeighedRow& row, float* scales, float* offsets) {
  const Grid& grid = fit.grid;
  assert((offsets != nullptr) == grid.offsets && grid.group_size > 0);
  const NearestLevels nearest(grid.table);
  const BlockSearch search(fit, !row.importance.empty(), nearest.levels);
  std::vector<float> alike;
  if (row.importance.empty()) alike.assign(row.weights.size(), 1.0f);
  const float* importance = alike.empty() ? row.importance.data() : alike.data();

  std::vector<Group> groups;
  const auto width = static_cast<size_t>(grid.group_size);
  for (size_t at = 0; at < row.weights.size(); at += width)
    groups.push_back({row.weights.data() + at, importance + at, static_cast<int>(width)});
  assert(groups.size() * width == row.weights.size());

  const size_t step = grid.superblock > 0 ? static_cast<size_t>(grid.superblock) / width : 1;
  assert(groups.size() % step == 0);
  const auto store = [&](size_t group, GroupScale values) {
    scales[group] = values.scale;
    if (offsets != nullptr) offsets[group] = values.offset;
  };
  for (size_t begin = 0; begin < groups.size(); begin += step) {
    if (grid.superblock == 0) {
      store(begin, search.stored(search.fit(groups[begin])));
      continue;
    }
    Superblock superblock(search, std::span(groups).subspan(begin, step));
    const std::vector<GroupScale>& found = superblock.fit();
    for (size_t i = 0; i < step; ++i) store(begin + i, found[i]);
  }
}

void fit_block_rows(ThreadPool& threads, const GridFit& fit, ConstView w, ConstView importance,
                    View scales, View offsets) {
  assert(importance.empty() || importance.cols == w.cols);
  const auto cols = static_cast<size_t>(w.cols);
  const std::span<const float> counts =
      importance.empty() ? std::span<const float>() : std::span(importance.row<float>(0), cols);
  threads.parallel_for(w.rows, 4, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row)
      fit_block_row(fit, {{w.row<float>(row), cols}, counts}, scales.row<float>(row),
                    fit.grid.offsets ? offsets.row<float>(row) : nullptr);
  });
}

}  // namespace halftone
