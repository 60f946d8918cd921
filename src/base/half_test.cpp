#include "base/half.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <vector>

#include "base/rng.h"

namespace halftone {
namespace {

// The value of 16 bits with the given field widths, by the definition of IEEE 754.
double defined_value(uint16_t bits, int exponent_bits, int mantissa_bits) {
  const int bias = (1 << (exponent_bits - 1)) - 1;
  const int exponent = bits >> mantissa_bits & ((1 << exponent_bits) - 1);
  const int mantissa = bits & ((1 << mantissa_bits) - 1);
  const double sign = bits & 0x8000 ? -1 : 1;
  if (exponent == (1 << exponent_bits) - 1) return mantissa ? NAN : sign * INFINITY;
  if (exponent == 0) return sign * std::ldexp(mantissa, 1 - bias - mantissa_bits);
  return sign * std::ldexp(mantissa + (1 << mantissa_bits), exponent - bias - mantissa_bits);
}

uint16_t bits_of(float value, bf16*) { return to_bf16(value).bits; }
uint16_t bits_of(float value, f16*) { return to_f16(value).bits; }

template <class Half>
constexpr int kExponentBits = 8;
template <>
constexpr int kExponentBits<f16> = 5;

template <class Half>
class HalfTest : public ::testing::Test {};
using Halves = ::testing::Types<bf16, f16>;
TYPED_TEST_SUITE(HalfTest, Halves);

TYPED_TEST(HalfTest, EveryValueIsAsDefinedAndRoundTrips) {
  const int exponent_bits = kExponentBits<TypeParam>;
  for (int i = 0; i < 65536; ++i) {
    const uint16_t bits = static_cast<uint16_t>(i);
    const float value = to_float(TypeParam{bits});
    const double expected = defined_value(bits, exponent_bits, 15 - exponent_bits);
    if (std::isnan(expected)) {
      ASSERT_TRUE(std::isnan(value)) << i;
      ASSERT_TRUE(
          std::isnan(to_float(TypeParam{bits_of(value, static_cast<TypeParam*>(nullptr))})));
      continue;
    }
    ASSERT_EQ(static_cast<double>(value), expected) << i;
    ASSERT_EQ(bits_of(value, static_cast<TypeParam*>(nullptr)), bits) << i;
  }
}

// Between every two neighbours: the middle goes to the even one, what lies beside it to the nearer.
TYPED_TEST(HalfTest, RoundsToNearestTiesToEven) {
  const int exponent_bits = kExponentBits<TypeParam>;
  const int infinity = ((1 << exponent_bits) - 1) << (15 - exponent_bits);
  const auto rounded = [](float value) { return bits_of(value, static_cast<TypeParam*>(nullptr)); };
  for (int i = 0; i < infinity; ++i) {
    const double low = defined_value(static_cast<uint16_t>(i), exponent_bits, 15 - exponent_bits);
    // Past the largest value comes what would be the next, were there no infinity.
    const double high =
        i + 1 == infinity
            ? 2 * low -
                  defined_value(static_cast<uint16_t>(i - 1), exponent_bits, 15 - exponent_bits)
            : defined_value(static_cast<uint16_t>(i + 1), exponent_bits, 15 - exponent_bits);
    const float middle = static_cast<float>((low + high) / 2);
    ASSERT_EQ(rounded(middle), i % 2 ? i + 1 : i) << i;
    ASSERT_EQ(rounded(-middle), (i % 2 ? i + 1 : i) | 0x8000) << i;
    if (middle == 0) continue;  // beneath the smallest float
    ASSERT_EQ(rounded(std::nextafter(middle, 0.0f)), i) << i;
    ASSERT_EQ(rounded(std::nextafter(middle, INFINITY)), i + 1) << i;
  }
  EXPECT_EQ(rounded(3.4e38f) & 0x7fff, infinity);
}

#ifdef __FLT16_MAX__
TEST(Half, AgreesWithTheCompilersFp16) {
  Rng rng(7);
  for (int i = 0; i < 2000000; ++i) {
    const float value = std::bit_cast<float>(static_cast<uint32_t>(rng.next()));
    const auto theirs = static_cast<_Float16>(value);
    if (std::isnan(value)) continue;
    ASSERT_EQ(to_f16(value).bits, std::bit_cast<uint16_t>(theirs)) << value;
    ASSERT_EQ(round_to_f16(value), static_cast<float>(theirs)) << value;
  }
}
#endif

TEST(Half, WorkedExample) {
  EXPECT_EQ(to_bf16(1.0f).bits, 0x3f80);
  EXPECT_EQ(to_f16(1.0f).bits, 0x3c00);
  EXPECT_EQ(to_f16(65504.0f).bits, 0x7bff);
  EXPECT_EQ(to_f16(65520.0f).bits, 0x7c00);
  EXPECT_EQ(round_to_bf16(1.00390625f), 1.0f);  // 1 + 2^-8: a tie, to even
  static_assert(round_to_f16(0.1f) != 0.1f);
}

}  // namespace
}  // namespace halftone
