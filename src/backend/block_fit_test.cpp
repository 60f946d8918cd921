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
  fit_block_row(grid, {.weights = row.weights.data(),
                       .importance = row.counts.empty() ? nullptr : row.counts.data(),
                       .groups = static_cast<int64_t>(row.weights.size()) / grid.width,
                       .scales = scales,
                       .offsets = offsets});
}

// What is minimized, of a group.
float block_loss(const GridFit& how, const WeighedRow& group, float scale, float offset) {
  struct Weights {
    const WeighedRow& row;
    int count;
    float weight(int i) const { return row.weights[static_cast<size_t>(i)]; }
    float importance(int i) const { return row.counts[static_cast<size_t>(i)]; }
  };
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
