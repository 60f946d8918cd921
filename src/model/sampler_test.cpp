#include "model/sampler.h"

#include <gtest/gtest.h>

#include <array>
#include <limits>

#include "base/error.h"

namespace halftone {
namespace {

TEST(SamplerTest, GreedyTakesTheLargestAndOfEqualOnesTheFirst) {
  Sampler sampler({});
  EXPECT_EQ(sampler.sample(std::array{0.0f, 2.0f, 1.0f, 2.0f}), 1);
}

TEST(SamplerTest, DrawsInProportion) {
  Sampler sampler({.temperature = 2, .seed = 5});
  // At temperature 2 these logits are odds of 1 : 3.
  const std::array logits = {0.0f, 2 * 1.0986123f};
  int second = 0;
  for (int i = 0; i < 4000; ++i) second += sampler.sample(logits);
  EXPECT_NEAR(second, 3000, 150);  // five standard deviations
}

TEST(SamplerTest, TheSameSeedDrawsTheSame) {
  Sampler a({.temperature = 1, .seed = 9}), b({.temperature = 1, .seed = 9});
  const std::array logits = {0.1f, 0.3f, 0.2f, 0.0f};
  for (int i = 0; i < 100; ++i) EXPECT_EQ(a.sample(logits), b.sample(logits));
}

TEST(SamplerTest, RefusesLogitsThatAreNotFinite) {
  Sampler sampler({});
  EXPECT_THROW(sampler.sample(std::array{0.0f, std::numeric_limits<float>::quiet_NaN()}), Error);
}

}  // namespace
}  // namespace halftone
