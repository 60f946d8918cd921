// The quantizer's kernels of every instruction set that this processor has, against plain
// arithmetic and against each other.
#include "backend/cpu/simd/quantizer_kernels.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "backend/cpu/quant_ops.h"
#include "base/rng.h"

namespace halftone::cpu {
namespace {

class QuantizerKernelsTest : public testing::TestWithParam<simd::Isa> {
 protected:
  void SetUp() override {
    if (GetParam() > simd::detect_isa())
      GTEST_SKIP() << "this processor lacks instruction set " << static_cast<int>(GetParam());
  }
  static std::vector<float> random_values(int64_t count, uint64_t seed) {
    Rng rng(seed);
    std::vector<float> values;
    for (int64_t i = 0; i < count; ++i) values.push_back(static_cast<float>(rng.uniform() - 0.5));
    return values;
  }
};

TEST_P(QuantizerKernelsTest, TransposesWords) {
  constexpr int64_t kCols = 37;
  std::vector<float> words(simd::kTurnedRows * kCols), turned(words.size());
  for (size_t i = 0; i < words.size(); ++i) words[i] = static_cast<float>(i);
  simd::quantizer_kernels_for(GetParam()).transpose(words.data(), kCols, turned.data());
  for (int64_t col = 0; col < kCols; ++col)
    for (int64_t row = 0; row < simd::kTurnedRows; ++row)
      ASSERT_EQ(turned[static_cast<size_t>(col * simd::kTurnedRows + row)],
                static_cast<float>(row * kCols + col));
}

struct Fitted {
  std::vector<float> scales;
  std::vector<uint8_t> zeros;
};

Fitted fit(simd::Isa isa, std::vector<float>& weights, int64_t cols, const GridFit& fit) {
  ThreadPool pool(1);
  const int64_t rows = static_cast<int64_t>(weights.size()) / cols, groups = fit.grid.groups(cols);
  Fitted fitted{std::vector<float>(static_cast<size_t>(rows * groups)),
                std::vector<uint8_t>(static_cast<size_t>(rows * groups))};
  cpu_fit_grid(pool, isa, {ConstView{weights.data(), rows, cols, cols}, {}}, fit,
               View{fitted.scales.data(), rows, groups, groups},
               View{fitted.zeros.data(), rows, groups, groups, DType::u8});
  return fitted;
}

double loss(const std::vector<float>& weights, const GridFit& fit, const Fitted& fitted) {
  double sum = 0;
  for (size_t i = 0; i < weights.size(); ++i) {
    const size_t group = i / static_cast<size_t>(fit.grid.group_size);
    const double scale = fitted.scales[group], zero = fitted.zeros[group];
    const double code =
        std::clamp(std::nearbyint(weights[i] / scale) + zero, 0.0, fit.grid.levels() - 1.0);
    sum += std::pow(std::abs(weights[i] - scale * (code - zero)), double{fit.power});
  }
  return sum;
}

TEST_P(QuantizerKernelsTest, FitsAsWellAsPlainLoops) {
  std::vector<float> weights = random_values(64 * 96, 1);
  for (int bits : {2, 3, 4, 8}) {
    for (bool symmetric : {true, false}) {
      for (float power : {2.0f, 2.4f}) {
        const GridFit spec{.grid = {.bits = bits, .group_size = 32, .symmetric = symmetric},
                           .power = power};
        const double expected = loss(weights, spec, fit(simd::Isa::scalar, weights, 96, spec));
        const double actual = loss(weights, spec, fit(GetParam(), weights, 96, spec));
        EXPECT_NEAR(actual, expected, 1e-6 * expected) << bits << " bits, power " << power;
      }
    }
  }
}

// One weight and a scale so large that its code is 0: the loss is |w|^power itself.
TEST_P(QuantizerKernelsTest, PowersAreRightToAMillionth) {
  for (double power : {2.0, 2.4, 3.0, 4.0}) {
    const simd::PowerTable table = simd::power_table(power);
    for (double w = 1.99; w > 1e-7; w *= 0.93) {
      std::vector<float> weights(simd::kLossPadding, 0.0f);
      weights[3] = static_cast<float>(w);
      const simd::CandidateCodes zero_only{.scale = 1, .inverse_scale = 1};
      const float sum =
          simd::quantizer_kernels_for(GetParam())
              .candidate_loss(weights.data(), simd::kLossPadding, zero_only, table, INFINITY);
      const double expected = std::pow(static_cast<double>(weights[3]), power);
      EXPECT_NEAR(sum, expected, 1e-6 * expected) << w << " to the " << power;
    }
  }
}

TEST_P(QuantizerKernelsTest, RoundsAPanelAsPlainLoopsDo) {
  constexpr int64_t kRows = 45, kCols = 77, kBegin = 5, kEnd = 72, kBlock = kEnd - kBegin;
  std::vector<float> weights = random_values(kRows * kCols, 2);
  std::vector<float> factor = random_values(kCols * kCols, 3);
  for (float& value : factor) value *= 0.2f;
  const std::vector<float> scales(kRows, 0.1f);
  const std::vector<uint8_t> zeros(kRows, 8);
  const std::vector<int32_t> group_of(kCols, 0);
  const auto solve = [&](simd::Isa isa) {
    ThreadPool pool(1);
    std::vector<float> target = weights, errors(kRows * kBlock);
    std::vector<uint8_t> codes(kRows * kCols);
    cpu_quantize_columns(
        pool, isa, ConstView{weights.data(), kRows, kCols, kCols},
        View{target.data(), kRows, kCols, kCols}, ConstView{factor.data(), kCols, kCols, kCols},
        {.begin = kBegin, .end = kEnd, .group_of = group_of}, {.group_size = -1},
        ConstView{scales.data(), kRows, 1, 1}, ConstView{zeros.data(), kRows, 1, 1, DType::u8},
        View{codes.data(), kRows, kCols, kCols, DType::u8},
        View{errors.data(), kRows, kBlock, kBlock});
    return codes;
  };
  const std::vector<uint8_t> expected = solve(simd::Isa::scalar), actual = solve(GetParam());
  int64_t different_rows = 0;  // f32 sums in another order may turn a tie
  for (size_t row = 0; row < kRows; ++row)
    different_rows +=
        !std::equal(expected.begin() + row * kCols, expected.begin() + (row + 1) * kCols,
                    actual.begin() + row * kCols);
  EXPECT_LE(different_rows, 1);
}

INSTANTIATE_TEST_SUITE_P(InstructionSets, QuantizerKernelsTest,
                         testing::Values(simd::Isa::scalar, simd::Isa::avx2, simd::Isa::avx512));

}  // namespace
}  // namespace halftone::cpu
