// The worked examples of docs/methods.md §2.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "backend/grid_candidate.h"
#include "backend/ref/ref_backend.h"

namespace halftone {
namespace {

using testing::ElementsAre;
using testing::FloatNear;
using testing::Pointwise;

// One group of one row.
struct Fitted {
  float scale = 0;
  int zero = 0;
  std::vector<int> codes;
  std::vector<float> values;
};

Fitted fit(std::vector<float> weights, GridFit fit) {
  const auto backend = make_ref_backend({});
  fit.grid.group_size = -1;
  const int64_t count = static_cast<int64_t>(weights.size());
  float scale = 0;
  uint8_t zero = 0;
  backend->fit_grid(ConstView{weights.data(), 1, count, count}, fit, {}, View{&scale, 1, 1, 1},
                    View{&zero, 1, 1, 1, DType::u8});
  Fitted fitted{scale, zero, {}, {}};
  for (float w : weights) {
    const double code = std::nearbyint(w / scale) + zero;
    fitted.codes.push_back(static_cast<int>(std::clamp(code, 0.0, fit.grid.levels() - 1.0)));
    fitted.values.push_back(scale * static_cast<float>(fitted.codes.back() - zero));
  }
  return fitted;
}

const std::vector<float> kGroup = {-1.5f, 0.25f, 0.5f, 3};

TEST(FitGrid, SymmetricMinMax) {
  const Fitted fitted = fit(kGroup, {.grid = {}, .search = ScaleSearch::minmax});
  EXPECT_EQ(fitted.scale, 0.39990234375f);
  EXPECT_EQ(fitted.zero, 8);
  EXPECT_THAT(fitted.codes, ElementsAre(4, 9, 9, 15));
  EXPECT_THAT(fitted.values, Pointwise(FloatNear(5e-5f), {-1.5996f, 0.3999f, 0.3999f, 2.7993f}));
}

TEST(FitGrid, AsymmetricMinMax) {
  const Fitted fitted = fit(kGroup, {.grid = {.symmetric = false}, .search = ScaleSearch::minmax});
  EXPECT_EQ(fitted.scale, 0.300048828125f);
  EXPECT_EQ(fitted.zero, 5);
  EXPECT_THAT(fitted.codes, ElementsAre(0, 6, 7, 15));
  EXPECT_THAT(fitted.values, Pointwise(FloatNear(5e-5f), {-1.5002f, 0.3f, 0.6001f, 3.0005f}));
}

TEST(FitGrid, PowerShrinksTheRangeWhereThatLosesLess) {
  const Fitted asymmetric = fit(kGroup, {.grid = {.symmetric = false}});
  EXPECT_EQ(asymmetric.scale, 0.297119140625f);
  EXPECT_EQ(asymmetric.zero, 5);
  EXPECT_THAT(asymmetric.codes, ElementsAre(0, 6, 7, 15));
  EXPECT_EQ(fit(kGroup, {}).scale, 0.39990234375f);

  const std::vector<float> clipped = {-2, -1, 1, 1};
  EXPECT_EQ(fit(clipped, {.grid = {.bits = 2}, .search = ScaleSearch::minmax}).scale,
            1.3330078125f);
  const Fitted exact = fit(clipped, {.grid = {.bits = 2}});
  EXPECT_EQ(exact.scale, 1);
  EXPECT_EQ(exact.values, clipped);
}

TEST(FitGrid, EdgesOfFp16) {
  const Fitted zeros = fit({0, 0, 0}, {});
  EXPECT_EQ(zeros.scale, 1);
  EXPECT_THAT(zeros.codes, ElementsAre(8, 8, 8));
  const Fitted asymmetric_zeros = fit({0, 0}, {.grid = {.symmetric = false}});
  EXPECT_EQ(asymmetric_zeros.scale, 1);
  EXPECT_EQ(asymmetric_zeros.zero, 0);

  const Fitted huge = fit({1e7f, -1}, {.grid = {}, .search = ScaleSearch::minmax});
  EXPECT_EQ(huge.scale, 65504);
  EXPECT_THAT(huge.values, ElementsAre(458528, 0));
  const Fitted tiny = fit({1e-8f, 0}, {.grid = {}, .search = ScaleSearch::minmax});
  EXPECT_EQ(tiny.scale, 0x1p-24f);
  EXPECT_THAT(tiny.values, ElementsAre(0, 0));
}

TEST(FitGrid, ScalesAreValuesThatTheFormatStores) {
  EXPECT_EQ(storable_scale(ScaleStore::f16, 0.1f), 0.0999755859375f);
  EXPECT_EQ(storable_scale(ScaleStore::bf16, 0.1f), 0.10009765625f);
  EXPECT_EQ(storable_scale(ScaleStore::f32, 0.1f), 0.1f);
  EXPECT_EQ(storable_scale(ScaleStore::f16, 65519), 65504);  // rounds down
  EXPECT_EQ(storable_scale(ScaleStore::f16, 65520), 65504);  // would be infinite
  EXPECT_EQ(storable_scale(ScaleStore::bf16, 3.4e38f), 0x1.fep127f);
  EXPECT_EQ(storable_scale(ScaleStore::bf16, 0x1p-140f), 0x1p-133f);
  EXPECT_EQ(storable_scale(ScaleStore::f32, 0), 0x1p-149f);
}

// Seven bits are left of f16's eleven beside codes of four: the product with a zero is an f16.
TEST(FitGrid, ScalesAreShortWhereTheirProductWithAZeroIsStored) {
  EXPECT_EQ(dropped_bits({.bits = 4, .symmetric = false, .stores_offset = true}), 24 - 7);
  EXPECT_EQ(dropped_bits({.bits = 4, .symmetric = true, .stores_offset = true}), 0);
  EXPECT_EQ(shortened_scale(1 + 0x1p-7f, 17), 1);  // a tie, to even
  EXPECT_EQ(shortened_scale(1 + 0x3p-7f, 17), 1 + 0x1p-5f);
  for (const ScaleStore store : {ScaleStore::f16, ScaleStore::bf16, ScaleStore::f32}) {
    for (const int bits : {2, 4, 8}) {
      const Grid grid{.bits = bits, .symmetric = false, .scales = store, .stores_offset = true};
      for (const float high : {0.3f, 7.7f, 1e-5f, 1e5f}) {
        const ScaleAndZero fitted = grid_candidate({.grid = grid}, {-0.61f * high, high}, 3);
        const float product = fitted.scale * static_cast<float>(fitted.zero);
        EXPECT_GT(fitted.zero, 0);
        EXPECT_EQ(round_to(store, product), product) << bits << ' ' << high;
        EXPECT_EQ(double{fitted.scale} * fitted.zero, double{product});
      }
    }
  }
}

}  // namespace
}  // namespace halftone
