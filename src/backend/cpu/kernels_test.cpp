// The vector kernels of every instruction set that this processor has, against arithmetic in f64.
#include "backend/cpu/simd/kernels.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "base/half.h"
#include "base/rng.h"

namespace halftone::simd {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

std::vector<float> random_floats(size_t count, float size, uint64_t seed) {
  Rng rng(seed);
  std::vector<float> values(count);
  for (float& value : values) value = size * static_cast<float>(2 * rng.uniform() - 1);
  return values;
}

Source from(const std::vector<float>& values) { return {values.data(), DType::f32}; }
Target to(std::vector<float>& values) { return {values.data(), DType::f32}; }

class KernelsTest : public testing::TestWithParam<Isa> {
 protected:
  void SetUp() override {
    if (GetParam() > detect_isa()) GTEST_SKIP() << "this processor lacks these instructions";
  }
  const Kernels& kernels() const { return kernels_for(GetParam()); }
};

TEST_P(KernelsTest, ConvertsAsHalfDoes) {
  std::vector<float> values = random_floats(37, 100, 1);
  values[0] = kInfinity;
  values[1] = std::numeric_limits<float>::quiet_NaN();
  values[2] = 1.00390625f;  // halfway between two bf16: to the even one
  values[3] = -0.0f;
  std::vector<bf16> brief(values.size());
  std::vector<f16> half(values.size());
  const int64_t count = static_cast<int64_t>(values.size());
  kernels().convert(from(values), {brief.data(), DType::bf16}, count);
  kernels().convert(from(values), {half.data(), DType::f16}, count);
  for (size_t i = 0; i < values.size(); ++i) {
    if (i == 1) continue;
    EXPECT_EQ(brief[i].bits, to_bf16(values[i]).bits) << values[i];
    EXPECT_EQ(half[i].bits, to_f16(values[i]).bits) << values[i];
  }
  EXPECT_TRUE(std::isnan(to_float(brief[1])));
  std::vector<float> back(values.size());
  kernels().convert({half.data(), DType::f16}, to(back), count);
  for (size_t i = 2; i < values.size(); ++i) EXPECT_EQ(back[i], to_float(half[i]));
}

TEST_P(KernelsTest, WritesNothingBehindARow) {
  const std::vector<float> x = random_floats(19, 1, 2);
  for (int64_t count = 0; count < 19; ++count) {
    std::vector<float> y(19, 7.0f);
    kernels().add(from(x), from(x), to(y), count);
    for (size_t i = 0; i < y.size(); ++i)
      EXPECT_EQ(y[i], static_cast<int64_t>(i) < count ? 2 * x[i] : 7.0f);
  }
}

TEST_P(KernelsTest, ExponentialIsRightToTwoInTenMillion) {
  for (float x = -86; x < 88; x += 0.0371f) {
    const double got = kernels().sum_exp(&x, 0, 1), expected = std::exp(static_cast<double>(x));
    ASSERT_NEAR(got / expected, 1, 2e-7) << x;
  }
  const float below = -kInfinity;
  EXPECT_EQ(kernels().sum_exp(&below, 0, 1), 0);
}

TEST_P(KernelsTest, ActivationsFollowTheirDefinitions) {
  const std::vector<float> x = random_floats(401, 12, 3), ones(401, 1.0f);
  std::vector<float> y(x.size());
  const auto expect = [&](Activation act, auto definition) {
    kernels().gated_activation(from(x), from(ones), act, to(y), 401);
    for (size_t i = 0; i < x.size(); ++i) {
      const double expected = definition(static_cast<double>(x[i]));
      ASSERT_NEAR(y[i], expected, 2e-6 * std::abs(expected) + 1e-7) << x[i];
    }
  };
  expect(Activation::silu, [](double v) { return v / (1 + std::exp(-v)); });
  expect(Activation::gelu, [](double v) { return 0.5 * v * std::erfc(-v * std::sqrt(0.5)); });
  expect(Activation::gelu_tanh, [](double v) {
    return 0.5 * v * (1 + std::tanh(std::sqrt(2 / M_PI) * (v + 0.044715 * v * v * v)));
  });
}

TEST_P(KernelsTest, SoftCapKeepsSmallValuesAndBoundsLargeOnes) {
  std::vector<float> x{0.001f, 1, -30, 300, -kInfinity};
  kernels().softcap(to(x), 30, 5);
  EXPECT_FLOAT_EQ(x[0], 0.001f);
  EXPECT_FLOAT_EQ(x[1], static_cast<float>(30 * std::tanh(1 / 30.0)));
  EXPECT_FLOAT_EQ(x[2], static_cast<float>(-30 * std::tanh(1.0)));
  EXPECT_FLOAT_EQ(x[3], 30);
  EXPECT_FLOAT_EQ(x[4], -30);
}

TEST_P(KernelsTest, NormsAWorkedExample) {
  const std::vector<float> x{3, 4, 0}, gain{1, 2, 3};
  std::vector<float> y(3);
  // rms = √(25/3).
  kernels().norm(from(x), from(gain), {.epsilon = 0, .gain_offset = 1}, to(y), 3);
  EXPECT_FLOAT_EQ(y[0], 2 * 3 / std::sqrt(25.0f / 3));
  EXPECT_FLOAT_EQ(y[1], 3 * 4 / std::sqrt(25.0f / 3));
  // Mean 7/3, variance 26/9.
  kernels().norm(from(x), from(gain), {.kind = NormKind::layer, .epsilon = 0}, to(y), 3);
  EXPECT_FLOAT_EQ(y[0], (3 - 7.0f / 3) / std::sqrt(26.0f / 9));
  EXPECT_FLOAT_EQ(y[2], -7.0f / std::sqrt(26.0f / 9));
}

TEST_P(KernelsTest, AnglesAreExactUpToLongContexts) {
  std::vector<float> frequencies{1, 0.5f, 0.1f, 0.01f, 1e-4f, 0.7498942f, 3e-7f};
  std::vector<float> cosine(frequencies.size()), sine(frequencies.size());
  for (int position : {0, 1, 2, 3, 5, 7, 100, 4095, 32768, 131072, 1000003}) {
    const float at = static_cast<float>(position);
    kernels().angles(at, frequencies, 1, cosine.data(), sine.data());
    for (size_t i = 0; i < frequencies.size(); ++i) {
      const double angle = static_cast<double>(at * frequencies[i]);
      ASSERT_NEAR(cosine[i], std::cos(angle), 1.5e-7) << angle;
      ASSERT_NEAR(sine[i], std::sin(angle), 1.5e-7) << angle;
    }
  }
}

TEST_P(KernelsTest, TheLargestIsTheFirstOfEquals) {
  for (int64_t count : {1, 5, 16, 17, 1023, 1024, 1025, 5000}) {
    std::vector<float> x = random_floats(static_cast<size_t>(count), 1, 5);
    const size_t place = static_cast<size_t>(count * 2 / 3);
    x[place] = 2;
    x.back() = 2;
    const Largest found = kernels().largest(x.data(), count);
    EXPECT_EQ(found.value, 2);
    EXPECT_EQ(found.index, static_cast<int64_t>(place));
  }
}

TEST_P(KernelsTest, DivergenceOfAModelFromItselfIsZero) {
  std::vector<float> x = random_floats(1003, 9, 6);
  x[7] = -kInfinity;  // a token that is ruled out
  const DivergenceSums same = kernels().divergence(x.data(), 9, x.data(), 9, 1003);
  EXPECT_EQ(same.weighted, 0);
  EXPECT_EQ(same.model, same.base);
  EXPECT_NEAR(same.model, kernels().sum_exp(x.data(), 9, 1003), 1e-9 * same.model);
}

struct AttentionShape {
  int64_t queries, keys, group, head_dim;
  int window;
  float softcap;
};

// Softmax over the keys that a query sees, in f64.
void expect_attention(const Kernels& kernels, const AttentionShape& shape, bool in_bf16) {
  const int64_t width = shape.group * shape.head_dim;
  std::vector<float> q = random_floats(static_cast<size_t>(shape.queries * width), 2, 7);
  std::vector<float> k = random_floats(static_cast<size_t>(shape.keys * shape.head_dim), 2, 8);
  std::vector<float> v = random_floats(static_cast<size_t>(shape.keys * shape.head_dim), 2, 9);
  for (std::vector<float>* all : {&q, &k, &v})
    for (float& value : *all) value = round_to_bf16(value);
  std::vector<float> y(q.size());
  const auto halves = [](const std::vector<float>& values) {
    std::vector<bf16> brief;
    for (float value : values) brief.push_back(to_bf16(value));
    return brief;
  };
  const std::vector<bf16> q16 = halves(q), k16 = halves(k), v16 = halves(v);
  const auto view = [&](const std::vector<float>& wide, const std::vector<bf16>& brief,
                        int64_t rows, int64_t cols) {
    return in_bf16 ? ConstView{brief.data(), rows, cols, cols, DType::bf16}
                   : ConstView{wide.data(), rows, cols, cols, DType::f32};
  };
  const AttentionSpec spec{.heads = static_cast<int>(shape.group),
                           .kv_heads = 1,
                           .head_dim = static_cast<int>(shape.head_dim),
                           .scale = 0.4f,
                           .window = shape.window,
                           .softcap = shape.softcap};
  std::vector<float> scratch(static_cast<size_t>(
      attention_scratch_bytes(shape.queries * shape.group, shape.head_dim) / 4));
  const AttentionTask task{.q = view(q, q16, shape.queries, width),
                           .k = view(k, k16, shape.keys, shape.head_dim),
                           .v = view(v, v16, shape.keys, shape.head_dim),
                           .y = {y.data(), shape.queries, width, width, DType::f32},
                           .group = shape.group,
                           .first_position = shape.keys - shape.queries,
                           .spec = &spec,
                           .scratch = scratch.data()};
  (in_bf16 ? kernels.attend_bf16 : kernels.attend)(task);

  const auto at = [&](const std::vector<float>& all, int64_t row, int64_t dim) {
    return static_cast<double>(all[static_cast<size_t>(row * shape.head_dim + dim)]);
  };
  for (int64_t row = 0; row < shape.queries * shape.group; ++row) {
    const int64_t last = task.first_position + row / shape.group + 1;
    const int64_t first = shape.window > 0 ? std::max<int64_t>(0, last - shape.window) : 0;
    std::vector<double> out(static_cast<size_t>(shape.head_dim));
    double sum = 0;
    for (int64_t key = first; key < last; ++key) {
      double score = 0;
      for (int64_t d = 0; d < shape.head_dim; ++d) score += at(q, row, d) * at(k, key, d);
      score *= 0.4f;
      if (shape.softcap > 0) score = shape.softcap * std::tanh(score / shape.softcap);
      const double weight = std::exp(score);
      sum += weight;
      for (int64_t d = 0; d < shape.head_dim; ++d)
        out[static_cast<size_t>(d)] += weight * at(v, key, d);
    }
    for (int64_t d = 0; d < shape.head_dim; ++d)
      ASSERT_NEAR(at(y, row, d), out[static_cast<size_t>(d)] / sum, in_bf16 ? 8e-3 : 6e-6)
          << "row " << row << ", dimension " << d;
  }
}

const AttentionShape kShapes[] = {
    {1, 1, 1, 4, 0, 0},      {3, 3, 1, 16, 0, 0},       {1, 300, 3, 64, 0, 0},
    {130, 130, 1, 64, 0, 0}, {50, 333, 5, 40, 0, 0},    {40, 200, 2, 33, 9, 0},
    {20, 129, 1, 80, 1, 0},  {70, 260, 2, 128, 130, 0}, {33, 47, 3, 24, 0, 5},
};

TEST_P(KernelsTest, AttentionEqualsSoftmaxInDouble) {
  for (const AttentionShape& shape : kShapes) {
    SCOPED_TRACE(testing::Message() << shape.queries << " queries, " << shape.keys << " keys");
    expect_attention(kernels(), shape, false);
    if (kernels().attend_bf16) expect_attention(kernels(), shape, true);
  }
}

std::string name_of_isa(const testing::TestParamInfo<Isa>& test) {
  switch (test.param) {
    case Isa::scalar:
      return "scalar";
    case Isa::avx2:
      return "avx2";
    case Isa::avx512:
      return "avx512";
    case Isa::avx512_bf16:
      return "avx512_bf16";
    default:
      return "amx";
  }
}

INSTANTIATE_TEST_SUITE_P(InstructionSets, KernelsTest,
                         testing::Values(Isa::scalar, Isa::avx2, Isa::avx512, Isa::avx512_bf16,
                                         Isa::amx),
                         name_of_isa);

}  // namespace
}  // namespace halftone::simd
