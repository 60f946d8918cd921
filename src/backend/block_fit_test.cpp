// Fitted scales are values that ggml's types store, and the search beats the range.
#include "backend/block_fit.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "backend/block_search.h"
#include "base/half.h"
#include "base/rng.h"

namespace halftone {
namespace {

const Grid kQ4_1{.bits = 4, .group_size = 32, .symmetric = false, .offsets = true};
const Grid kQ4_K{.bits = 4,
                 .group_size = 32,
                 .symmetric = false,
                 .offsets = true,
                 .superblock = 256,
                 .multiple_bits = 6};
const Grid kQ6_K{.bits = 6, .group_size = 16, .superblock = 256, .multiple_bits = 8};
const Grid kIq4Nl{.bits = 4, .group_size = 32, .table = LevelTable::iq4_nl};
const Grid kIq4Xs{.bits = 4,
                  .group_size = 32,
                  .table = LevelTable::iq4_nl,
                  .superblock = 256,
                  .multiple_bits = 6};

// Sums of uniform numbers: near enough to normal ones.
std::vector<float> normal_weights(size_t count, uint64_t seed) {
  Rng rng(seed);
  std::vector<float> weights(count);
  for (float& w : weights) {
    double sum = -3;
    for (int i = 0; i < 6; ++i) sum += rng.uniform();
    w = static_cast<float>(0.05 * sum);
  }
  return weights;
}

struct Fitted {
  std::vector<float> scales, offsets;
};

// Weights of one row, and how much the error of each counts (none: all alike).
struct WeighedRow {
  std::span<const float> weights, counts;
};

void fit_row(const GridFit& how, const WeighedRow& row, float* scales, float* offsets) {
  const BlockGrid grid = block_grid(how, !row.counts.empty());
  const int64_t groups = static_cast<int64_t>(row.weights.size()) / grid.width;
  const std::vector<float> counts =
      block_counts(grid, row.counts.empty() ? nullptr : row.counts.data(), groups);
  fit_block_row(grid, {.weights = row.weights.data(),
                       .counts = counts.data(),
                       .groups = groups,
                       .scales = scales,
                       .offsets = offsets});
}

// A group as the search takes it.
struct Weights {
  WeighedRow row;
  int count;
  float weight(int i) const { return row.weights[static_cast<size_t>(i)]; }
  float importance(int i) const { return row.counts[static_cast<size_t>(i)]; }
};

// What is minimized, of a group.
float block_loss(const GridFit& how, const WeighedRow& group, float scale, float offset) {
  const BlockGrid grid = block_grid(how, false);
  const BlockSearch<float, LevelLookup> search(grid, {grid.nearest});
  return search.loss(Weights{group, static_cast<int>(group.weights.size())}, {scale, offset});
}

WeighedRow part_of(const WeighedRow& row, size_t begin, size_t count) {
  return {row.weights.subspan(begin, count), row.counts.subspan(begin, count)};
}

Fitted fit(const GridFit& how, const std::vector<float>& weights) {
  const auto groups = static_cast<size_t>(how.grid.groups(static_cast<int64_t>(weights.size())));
  Fitted fitted{std::vector<float>(groups), std::vector<float>(groups)};
  fit_row(how, {weights, {}}, fitted.scales.data(),
          how.grid.offsets ? fitted.offsets.data() : nullptr);
  return fitted;
}

float total_loss(const GridFit& how, const std::vector<float>& weights, const Fitted& fitted) {
  const auto width = static_cast<size_t>(how.grid.group_size);
  const std::vector<float> ones(width, 1.0f);
  float sum = 0;
  for (size_t i = 0; i < fitted.scales.size(); ++i)
    sum += block_loss(how, {std::span(weights).subspan(i * width, width), ones}, fitted.scales[i],
                      fitted.offsets[i]);
  return sum;
}

// What a device does that computes with floats: a group at a time, the superblock's one after the
// other.
Fitted fit_by_floats(const GridFit& how, const WeighedRow& row) {
  const BlockGrid grid = block_grid(how, !row.counts.empty());
  const BlockSearch<float, LevelLookup> search(grid, {grid.nearest});
  const std::vector<float> alike(row.weights.size(), 1.0f);
  const WeighedRow all{row.weights,
                       row.counts.empty() ? std::span<const float>(alike) : row.counts};
  std::vector<Weights> groups;
  for (size_t at = 0; at < row.weights.size(); at += static_cast<size_t>(grid.width))
    groups.push_back({part_of(all, at, static_cast<size_t>(grid.width)), grid.width});
  std::vector<GroupScale> best(groups.size());
  for (size_t i = 0; i < groups.size(); ++i) best[i] = search.stored(search.fit(groups[i]));
  const auto together = static_cast<size_t>(grid.together);
  for (size_t begin = 0; grid.superblocks && begin < groups.size(); begin += together) {
    std::vector<BlockSearch<float, LevelLookup>::Member> members;
    GroupScale largest;
    for (size_t i = 0; i < together; ++i) {
      const GroupScale wanted = members.emplace_back(search.member(groups[begin + i])).wanted;
      if (std::abs(wanted.scale) > std::abs(largest.scale)) largest.scale = wanted.scale;
      largest.offset = std::max(largest.offset, wanted.offset);
    }
    for (auto& member : members) member.largest = largest;
    for (int trial = 0; trial < search.trials(); ++trial) {
      std::vector<GroupScale> found;
      float sum = 0;
      for (size_t i = 0; i < together; ++i) {
        const auto multiples = search.try_unit(groups[begin + i], members[i], trial);
        found.push_back(multiples.values);
        sum += multiples.loss;
      }
      for (size_t i = 0; i < together; ++i) search.take_unit(found[i], sum, trial, members[i]);
    }
    for (size_t i = 0; i < together; ++i) best[begin + i] = search.found(members[i]);
  }
  Fitted fitted;
  for (const GroupScale& values : best) {
    fitted.scales.push_back(values.scale);
    fitted.offsets.push_back(how.grid.offsets ? values.offset : 0);
  }
  return fitted;
}

// Bit for bit.
TEST(BlockFit, VectorsFindWhatFloatsFind) {
  std::vector<float> weights = normal_weights(3 * 256, 5);
  for (size_t i = 0; i < 40; ++i) weights[i] = 0;
  for (size_t i = 256; i < 512; ++i) weights[i] = i % 32 < 4 ? 1e-3f : 0;
  weights[600] = 9;
  std::vector<float> counts(weights.size());
  for (size_t i = 0; i < counts.size(); ++i) counts[i] = 0.01f + static_cast<float>(i * 7 % 17);
  const Grid q4_0{.bits = 4, .group_size = 32, .signed_scales = true};
  for (const Grid& grid : {q4_0, kQ4_1, kQ4_K, kQ6_K, kIq4Nl, kIq4Xs})
    for (const bool weighed : {false, true})
      for (const ScaleSearch search : {ScaleSearch::power, ScaleSearch::minmax}) {
        const GridFit how{.grid = grid, .search = search};
        const WeighedRow row{weights,
                             weighed ? std::span<const float>(counts) : std::span<const float>()};
        const Fitted expected = fit_by_floats(how, row);
        Fitted actual{std::vector<float>(expected.scales.size()),
                      std::vector<float>(expected.scales.size())};
        fit_row(how, row, actual.scales.data(), grid.offsets ? actual.offsets.data() : nullptr);
        EXPECT_EQ(expected.scales, actual.scales) << grid.bits << ' ' << grid.superblock;
        EXPECT_EQ(expected.offsets, actual.offsets) << grid.bits << ' ' << grid.superblock;
      }
}

// 0 … 15 in steps of 1/8, less 1/2: exactly 16 levels.
TEST(BlockFit, FindsTheLevelsOfARamp) {
  std::vector<float> weights;
  for (int i = 0; i < 32; ++i) weights.push_back(static_cast<float>(i % 16) / 8 - 0.5f);
  const Fitted fitted = fit({.grid = kQ4_1}, weights);
  EXPECT_NEAR(fitted.scales[0], 0.125f, 1e-4f);
  EXPECT_NEAR(fitted.offsets[0], 0.5f, 1e-3f);
}

// A weight for each level of the table, times a negative scale.
TEST(BlockFit, FindsATablesSignedScale) {
  std::vector<float> weights;
  for (const float level : levels_of(LevelTable::iq4_nl)) {
    weights.push_back(-0.25f * level);
    weights.push_back(-0.25f * level);
  }
  const Fitted fitted = fit({.grid = kIq4Nl}, weights);
  EXPECT_NEAR(fitted.scales[0], -0.25f, 3e-3f);
  EXPECT_LT(total_loss({.grid = kIq4Nl}, weights, fitted), 16.0f);
}

// The largest weight has the level of which there is one more on its side.
TEST(BlockFit, FindsTheSideOfASymmetricGrid) {
  const Grid signed_grid{.bits = 4, .group_size = 32, .signed_scales = true};
  std::vector<float> weights;
  for (int i = 0; i < 32; ++i) weights.push_back(0.25f * static_cast<float>(8 - i % 16));
  const Fitted fitted = fit({.grid = signed_grid}, weights);
  EXPECT_NEAR(fitted.scales[0], -0.25f, 1e-4f);
  EXPECT_LT(total_loss({.grid = signed_grid}, weights, fitted), 1e-3f);
}

// Four weights that are worth all others together are met exactly, the others as they come.
TEST(BlockFit, ImportanceDecides) {
  for (const Grid& grid :
       {Grid{.bits = 4, .group_size = 32, .signed_scales = true}, kQ4_1, kQ4_K, kIq4Nl}) {
    const std::vector<float> weights = normal_weights(256, 3);
    std::vector<float> importance(weights.size(), 0.01f);
    for (size_t i = 0; i < weights.size(); i += 8) importance[i] = 10;
    const auto error = [&](std::span<const float> counts) {
      const auto groups = static_cast<size_t>(grid.groups(256));
      std::vector<float> scales(groups), offsets(groups);
      fit_row({.grid = grid}, {weights, counts}, scales.data(),
              grid.offsets ? offsets.data() : nullptr);
      float sum = 0;
      for (size_t i = 0; i < groups; ++i)
        sum += block_loss({.grid = grid, .power = 2}, part_of({weights, importance}, 32 * i, 32),
                          scales[i], offsets[i]);
      return sum;
    };
    EXPECT_LT(error(importance), 0.8f * error({})) << static_cast<int>(grid.table) << grid.offsets;
  }
}

// One weight of each superblock counts as much as all others: multiples of six bits need not lose
// more than numbers of each group's own, as long as scale and offset are sought together.
TEST(BlockFit, MultiplesKeepAWeightThatOutweighsTheOthers) {
  const std::vector<float> weights = normal_weights(2048, 1);
  std::vector<float> importance(weights.size(), 1.0f);
  for (size_t i = 0; i < weights.size(); i += 256) importance[i] = 1000;
  const auto error = [&](const Grid& grid) {
    std::vector<float> scales(64), offsets(64);
    fit_row({.grid = grid}, {weights, importance}, scales.data(), offsets.data());
    float sum = 0;
    for (size_t i = 0; i < scales.size(); ++i)
      sum += block_loss({.grid = grid, .power = 2}, part_of({weights, importance}, 32 * i, 32),
                        scales[i], offsets[i]);
    return sum;
  };
  EXPECT_LT(error(kQ4_K), 1.01f * error(kQ4_1));
}

TEST(BlockFit, SearchBeatsTheRange) {
  const std::vector<float> weights = normal_weights(2048, 1);
  for (const Grid& grid : {kQ4_1, kQ4_K, kQ6_K, kIq4Nl, kIq4Xs}) {
    const GridFit searched{.grid = grid};
    const Fitted range = fit({.grid = grid, .search = ScaleSearch::minmax}, weights);
    const float best = total_loss(searched, weights, fit(searched, weights));
    EXPECT_LT(best, total_loss(searched, weights, range)) << grid.bits << ' ' << grid.group_size;
  }
}

TEST(BlockFit, StoresWhatTheTypesStore) {
  std::vector<float> weights = normal_weights(512, 2);
  for (size_t i = 0; i < 40; ++i) weights[i] = 0;     // a group of zeros, and a part of one
  for (size_t i = 256; i < 512; ++i) weights[i] = 0;  // a superblock of zeros
  for (const Grid& grid : {kQ4_1, kQ4_K, kQ6_K, kIq4Nl, kIq4Xs}) {
    const Fitted fitted = fit({.grid = grid}, weights);
    for (size_t i = 0; i < fitted.scales.size(); ++i) {
      const float scale = fitted.scales[i];
      ASSERT_TRUE(std::isfinite(scale) && std::isfinite(fitted.offsets[i]));
      if (grid.superblock == 0) {
        EXPECT_EQ(round_to_f16(scale), scale);
        EXPECT_EQ(round_to_f16(fitted.offsets[i]), fitted.offsets[i]);
      }
      if (grid.table == LevelTable::even) {
        EXPECT_GT(scale, 0);
      }
      EXPECT_GE(fitted.offsets[i], 0);
    }
    if (grid.table != LevelTable::even) {
      EXPECT_EQ(fitted.scales[0], 0) << "no level of the table is 0";
    }
  }
}

// Squares of such weights are infinite, and what is made of them no number.
TEST(BlockFit, WeightsWhoseSquaresOverflowHaveFiniteScales) {
  std::vector<float> weights(256, 0);
  weights[40] = 1e38f;
  for (const Grid& grid : {kIq4Nl, kIq4Xs})
    for (const float scale : fit({.grid = grid}, weights).scales) EXPECT_TRUE(std::isfinite(scale));
}

}  // namespace
}  // namespace halftone
