// What scores sum up to, by hand: docs/methods.md §7 shows the same numbers.
#include "apps/token_scores.h"

#include <gtest/gtest.h>

#include <cmath>

#include "backend/backend_fixture.h"

namespace halftone {
namespace {

TEST(TokenScores, WorkedExample) {
  const ScoreSummary summary =
      summarize({.nll = {1, 2, 3}, .base_nll = {}, .kl = {}, .same_top = {}});
  EXPECT_NEAR(summary.perplexity, std::exp(2), 1e-9);
  EXPECT_NEAR(summary.perplexity_stderr, std::exp(2) / std::sqrt(3), 1e-9);
}

// The change is paired: both models find the same tokens hard, so its error is small.
TEST(TokenScores, ComparesInPairs) {
  const ScoreSummary summary = summarize({.nll = {1.5f, 2.5f, 9.5f},
                                          .base_nll = {1, 2, 9},
                                          .kl = {0.1f, 0.3f, 0.2f},
                                          .same_top = {1, 1, 0}});
  EXPECT_NEAR(summary.base_perplexity, std::exp(4), 1e-9);
  EXPECT_NEAR(std::log(summary.perplexity / summary.base_perplexity), 0.5, 1e-9);
  EXPECT_NEAR(summary.log_ratio_stderr, 0, 1e-9);
  EXPECT_GT(summary.perplexity_stderr, 1);
  EXPECT_NEAR(summary.kl_mean, 0.2, 1e-7);
  EXPECT_NEAR(summary.kl_stderr, 0.1 / std::sqrt(3), 1e-7);
  EXPECT_NEAR(summary.kl_p50, 0.2, 1e-7);
  EXPECT_NEAR(summary.kl_max, 0.3, 1e-7);
  EXPECT_NEAR(summary.top1_agreement, 2.0 / 3, 1e-9);
}

// Logits may be off by a constant, which the softmax forgets.
class ScoreTest : public BackendFixture {};

TEST_P(ScoreTest, KlByHand) {
  const float p[] = {std::log(0.5f) + 3, std::log(0.25f) + 3, std::log(0.25f) + 3};
  const float q[] = {std::log(0.25f), std::log(0.5f), std::log(0.25f)};
  const int32_t target = 0;
  const Tensor base = backend_->allocate(1, 3, DType::f32),
               model = backend_->allocate(1, 3, DType::f32);
  const Tensor on_device = backend_->allocate(1, kScoreColumns, DType::f32);
  backend_->upload({p, 1, 3, 3, DType::f32, Place::host}, base);
  backend_->upload({q, 1, 3, 3, DType::f32, Place::host}, model);
  backend_->score(model, base, {&target, 1}, on_device);
  float scores[kScoreColumns] = {};
  backend_->download(on_device,
                     View{scores, 1, kScoreColumns, kScoreColumns, DType::f32, Place::host});
  EXPECT_NEAR(scores[kKl], 0.25 * std::log(2), 1e-6);
  EXPECT_NEAR(scores[kNll], std::log(4), 1e-6);
  EXPECT_NEAR(scores[kBaseNll], std::log(2), 1e-6);
  EXPECT_EQ(scores[kSameTop], 0);
}

INSTANTIATE_TEST_SUITE_P(Backends, ScoreTest, testing::ValuesIn(backend_names()),
                         [](const auto& test) { return test.param; });

}  // namespace
}  // namespace halftone
