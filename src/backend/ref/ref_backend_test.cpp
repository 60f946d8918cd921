// The oracle itself, on examples small enough to be checked by hand.
#include "backend/ref/ref_backend.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <vector>

namespace halftone {
namespace {

using testing::ElementsAre;
using testing::FloatNear;
using testing::Pointwise;

class RefBackendTest : public testing::Test {
 protected:
  // Views of a test's own vectors; their memory is the backend's memory.
  static View view(std::vector<float>& values, int64_t cols) {
    return {values.data(), static_cast<int64_t>(values.size()) / cols, cols, cols};
  }
  const std::unique_ptr<Backend> backend_ = make_ref_backend({});
};

auto near(std::vector<float> expected) { return Pointwise(FloatNear(1e-6f), expected); }

TEST_F(RefBackendTest, LinearIsXTimesWTransposedPlusBias) {
  std::vector<float> w = {1, 2, 3, 4, 5, 6}, x = {1, 0, -1}, bias = {10, 20}, y = {0, 0};
  const auto weight = backend_->prepare(view(w, 3), DType::f32);
  backend_->linear(view(x, 3), *weight, view(bias, 2), view(y, 2));
  EXPECT_THAT(y, ElementsAre(8, 18));
  backend_->linear(view(x, 3), *weight, {}, view(y, 2), true);
  EXPECT_THAT(y, ElementsAre(6, 16));
}

TEST_F(RefBackendTest, LinearInBf16RoundsWeightsAndInputs) {
  std::vector<float> w = {1 + 0x1p-9f}, x = {1 + 3 * 0x1p-8f}, y = {0};
  const auto weight = backend_->prepare(view(w, 1), DType::bf16);
  backend_->linear(view(x, 1), *weight, {}, view(y, 1));
  EXPECT_EQ(y[0], 1 + 0x1p-6f);  // 1 · (1 + 4 · 2^-8), a tie to even
}

TEST_F(RefBackendTest, EmbedScalesRowsOfTheTable) {
  std::vector<float> table = {1, 2, 3, 4}, y = {0, 0};
  backend_->embed(std::vector<int32_t>{1}, view(table, 2), 0.5f, view(y, 2));
  EXPECT_THAT(y, ElementsAre(1.5f, 2));
}

TEST_F(RefBackendTest, Norms) {
  std::vector<float> x = {3, 4}, gain = {1, 2}, y = {0, 0};
  backend_->norm(view(x, 2), view(gain, 2), {.epsilon = 0}, view(y, 2));
  EXPECT_THAT(y, near({0.848528f, 2.262742f}));  // rms is 5 / √2
  backend_->norm(view(x, 2), view(gain, 2), {.epsilon = 0, .gain_offset = 1}, view(y, 2));
  EXPECT_THAT(y, near({1.697056f, 3.394113f}));
  backend_->norm(view(x, 2), view(gain, 2), {.kind = NormKind::layer, .epsilon = 0}, view(y, 2));
  EXPECT_THAT(y, near({-1, 2}));
}

TEST_F(RefBackendTest, AddNormAddsToTheResidual) {
  std::vector<float> x = {1, 1}, residual = {2, 3}, gain = {1, 1}, y = {0, 0};
  backend_->add_norm(view(x, 2), view(residual, 2), view(gain, 2), {.epsilon = 0}, view(y, 2));
  EXPECT_THAT(residual, ElementsAre(3, 4));
  EXPECT_THAT(y, near({0.848528f, 1.131371f}));
}

// A quarter turn takes (x_i, x_{i+2}) to (−x_{i+2}, x_i); the element beyond is copied.
TEST_F(RefBackendTest, RopeTurnsPairsHalfApart) {
  std::vector<float> x = {1, 2, 3, 4, 5}, frequencies = {1.57079637f, 0}, y(5);
  backend_->rope(view(x, 5), std::vector<int32_t>{1}, view(frequencies, 2),
                 {.heads = 1, .head_dim = 5}, view(y, 5));
  EXPECT_THAT(y, near({-3, 2, 1, 4, 5}));
}

TEST_F(RefBackendTest, AttentionAveragesWhatAQuerySees) {
  std::vector<float> q = {0, 0, 0}, k = {5, 6, 7}, v = {1, 2, 6}, y(3);
  const std::vector<Sequence> all = {{.q_count = 3, .kv_count = 3}};
  const AttentionSpec spec{.head_dim = 1};
  backend_->attention(view(q, 1), view(k, 1), view(v, 1), all, spec, view(y, 1));
  EXPECT_THAT(y, near({1, 1.5f, 3}));
  AttentionSpec windowed = spec;
  windowed.window = 2;
  backend_->attention(view(q, 1), view(k, 1), view(v, 1), all, windowed, view(y, 1));
  EXPECT_THAT(y, near({1, 1.5f, 4}));
  // One query, behind two cached keys; then a score of ln 3 against 0: weights 3/4 and 1/4.
  backend_->attention(view(q, 1).rows_of(0, 1), view(k, 1), view(v, 1),
                      std::vector<Sequence>{{.q_count = 1, .kv_count = 3}}, spec,
                      view(y, 1).rows_of(0, 1));
  EXPECT_THAT(y[0], FloatNear(3, 1e-6f));
  std::vector<float> log3 = {std::log(3.0f)}, keys = {1, 0}, values = {8, 4}, one(1);
  backend_->attention(view(log3, 1), view(keys, 1), view(values, 1),
                      std::vector<Sequence>{{.q_count = 1, .kv_count = 2}}, spec, view(one, 1));
  EXPECT_THAT(one, near({7}));
}

TEST_F(RefBackendTest, GroupedHeadsShareKeysAndValues) {
  std::vector<float> q = {0, 0, 0, 0}, k = {0, 0}, v = {1, 2}, y(4);
  backend_->attention(view(q, 4), view(k, 2), view(v, 2),
                      std::vector<Sequence>{{.q_count = 1, .kv_count = 1}},
                      {.heads = 4, .kv_heads = 2, .head_dim = 1}, view(y, 4));
  EXPECT_THAT(y, ElementsAre(1, 1, 2, 2));
}

TEST_F(RefBackendTest, GatedActivations) {
  std::vector<float> gate = {1}, up = {2}, y = {0};
  backend_->gated_activation(view(gate, 1), view(up, 1), Activation::silu, view(y, 1));
  EXPECT_THAT(y, near({1.462117f}));
  backend_->gated_activation(view(gate, 1), view(up, 1), Activation::gelu, view(y, 1));
  EXPECT_THAT(y, near({1.682689f}));
  backend_->gated_activation(view(gate, 1), view(up, 1), Activation::gelu_tanh, view(y, 1));
  EXPECT_THAT(y, near({1.682384f}));
}

TEST_F(RefBackendTest, ScoresOfTwoTokens) {
  // The model gives 3/4 and 1/4, the base 1/2 each.
  std::vector<float> logits = {std::log(3.0f), 0}, base = {7, 7}, scores(kScoreColumns);
  backend_->score(view(logits, 2), view(base, 2), std::vector<int32_t>{1},
                  view(scores, kScoreColumns));
  EXPECT_THAT(scores, near({1.386294f, 0.693147f, 0.143841f, 1}));
  base = {7, 8};
  backend_->score(view(logits, 2), view(base, 2), std::vector<int32_t>{1},
                  view(scores, kScoreColumns));
  EXPECT_EQ(scores[kSameTop], 0);
}

TEST_F(RefBackendTest, HessianIsTheWeightedSecondMoment) {
  std::vector<float> x = {1, 2, 3, 4}, weights = {1, 10}, h = {100, -1, 0, 0};
  backend_->accumulate_hessian(view(x, 2), view(weights, 2), view(h, 2));
  EXPECT_THAT(h, ElementsAre(191, -1, 122, 164));  // above the diagonal nothing is written
}

TEST_F(RefBackendTest, GatherReordersAndDamps) {
  std::vector<float> h = {5, 0, 7, 0}, out(4, -1);
  backend_->gather_symmetric(view(h, 2), std::vector<int32_t>{1, 0}, 3, 0.5, view(out, 2));
  EXPECT_THAT(out, ElementsAre(3.5f, -1, 7, 5.5f));
}

// (4 2; 2 10) = (1 0; ½ 1) · diag(4, 9) · its transpose.
TEST_F(RefBackendTest, LdlOfTwoByTwo) {
  std::vector<float> a = {4, -1, 2, 10};
  int32_t status = -1;
  backend_->factor_ldl(view(a, 2), {&status, 1, 1, 1, DType::i32});
  EXPECT_EQ(status, 0);
  EXPECT_THAT(a, ElementsAre(4, -1, 0.5f, 9));
  a = {4, 0, 2, 1};
  backend_->factor_ldl(view(a, 2), {&status, 1, 1, 1, DType::i32});
  EXPECT_EQ(status, 2);
}

// Column 1 first: 0.6 rounds to 1, an error of −0.4; half of it moves column 0 from 0.6 to 0.4,
// which rounds to 0.
TEST_F(RefBackendTest, ColumnsAreRoundedWithFeedback) {
  std::vector<float> w = {0.6f, 0.6f}, target = w, factor = {1, 0, 0.5f, 1};
  std::vector<float> scales = {1}, errors(2);
  std::vector<uint8_t> zeros = {8}, codes(2);
  const std::vector<int32_t> group_of = {0, 0};
  backend_->quantize_columns(view(w, 2), view(target, 2), view(factor, 2),
                             {.begin = 0, .end = 2, .group_of = group_of}, Grid{}, view(scales, 1),
                             ConstView{zeros.data(), 1, 1, 1, DType::u8},
                             View{codes.data(), 1, 2, 2, DType::u8}, view(errors, 2));
  EXPECT_THAT(codes, ElementsAre(8, 9));
  EXPECT_THAT(errors, near({0.6f, -0.4f}));
  EXPECT_THAT(target, near({0.4f, -0.4f}));
}

TEST_F(RefBackendTest, MultiplyAdd) {
  std::vector<float> a = {1, 2}, b = {3, 4}, c = {10};
  backend_->multiply_add(view(a, 2), view(b, 1), view(c, 1));
  EXPECT_THAT(c, ElementsAre(21));
}

}  // namespace
}  // namespace halftone
