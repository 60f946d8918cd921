// The worked examples of docs/formats.md: one row of eight inputs, or eight outputs of one input,
// whose words can be read off by eye.
#include <gtest/gtest.h>

#include <cstring>

#include "base/half.h"
#include "format/awq.h"
#include "format/compressed_tensors.h"
#include "format/gptq.h"
#include "format/mlx.h"

namespace halftone {
namespace {

// Tensor `at` of what was packed, as numbers.
template <class T>
std::vector<T> numbers(const std::vector<PackedTensor>& packed, size_t at) {
  std::vector<T> values(packed.at(at).data.size() / sizeof(T));
  std::memcpy(values.data(), packed[at].data.data(), packed[at].data.size());
  return values;
}

constexpr uint16_t kQuarter = 0x3400;  // 0.25 as an f16

// (8, 8) codes: row r holds r, r, …: scale 0.25, zero 8.
QuantizedMatrix rows_of_their_number() {
  QuantizedMatrix matrix;
  matrix.grid = {.bits = 4, .group_size = 8};
  matrix.rows = matrix.cols = 8;
  for (int i = 0; i < 64; ++i) matrix.codes.push_back(static_cast<uint8_t>(i / 8));
  matrix.scales.assign(8, 0.25f);
  matrix.zeros.assign(8, 8);
  return matrix;
}

// (8, 8) codes: every row holds 0, 1, … 7 along the inputs.
QuantizedMatrix rows_that_count() {
  QuantizedMatrix matrix = rows_of_their_number();
  for (size_t i = 0; i < 64; ++i) matrix.codes[i] = static_cast<uint8_t>(i % 8);
  return matrix;
}

TEST(WorkedExample, Gptq) {
  const auto v1 = pack_gptq("m", rows_that_count(), GptqVersion::v1);
  EXPECT_EQ(v1[1].name, "m.qweight");
  EXPECT_EQ(numbers<uint32_t>(v1, 1), std::vector<uint32_t>(8, 0x76543210));
  EXPECT_EQ(numbers<uint32_t>(v1, 2), std::vector<uint32_t>{0x77777777});  // 8 − 1
  EXPECT_EQ(numbers<uint16_t>(v1, 3), std::vector<uint16_t>(8, kQuarter));
  const auto v2 = pack_gptq("m", rows_that_count(), GptqVersion::v2);
  EXPECT_EQ(numbers<uint32_t>(v2, 2), std::vector<uint32_t>{0x88888888});
}

// From the low end, a word holds outputs 0, 2, 4, 6, 1, 3, 5, 7.
TEST(WorkedExample, Awq) {
  const auto packed = pack_awq("m", rows_of_their_number());
  EXPECT_EQ(packed[0].name, "m.qweight");
  EXPECT_EQ(packed[0].shape, (std::vector<int64_t>{8, 1}));
  EXPECT_EQ(numbers<uint32_t>(packed, 0), std::vector<uint32_t>(8, 0x75316420));
  EXPECT_EQ(numbers<uint32_t>(packed, 1), std::vector<uint32_t>{0x88888888});
  EXPECT_EQ(numbers<uint16_t>(packed, 2), std::vector<uint16_t>(8, kQuarter));
}

TEST(WorkedExample, CompressedTensors) {
  const auto packed = pack_compressed("m", rows_that_count());
  ASSERT_EQ(packed.size(), 3u);
  EXPECT_EQ(packed[0].name, "m.weight_packed");
  EXPECT_EQ(numbers<uint32_t>(packed, 0), std::vector<uint32_t>(8, 0x76543210));
  EXPECT_EQ(numbers<uint16_t>(packed, 1), std::vector<uint16_t>(8, kQuarter));
  EXPECT_EQ(numbers<int64_t>(packed, 2), (std::vector<int64_t>{8, 8}));

  // Zeros 0 … 7 of the eight outputs, in one word.
  QuantizedMatrix asymmetric = rows_that_count();
  asymmetric.grid.symmetric = false;
  for (size_t i = 0; i < 8; ++i) asymmetric.zeros[i] = static_cast<uint8_t>(i);
  const auto with_zeros = pack_compressed("m", asymmetric);
  EXPECT_EQ(with_zeros[3].name, "m.weight_zero_point");
  EXPECT_EQ(with_zeros[3].shape, (std::vector<int64_t>{1, 1}));
  EXPECT_EQ(numbers<uint32_t>(with_zeros, 3), std::vector<uint32_t>{0x76543210});
}

// Code 7 of scale 0.25 and zero 8 is −0.25: 0.25 · 7 + (−2).
TEST(WorkedExample, Mlx) {
  const auto packed = pack_mlx("m", rows_that_count());
  EXPECT_EQ(packed[0].name, "m.weight");
  EXPECT_EQ(packed[0].type, "U32");
  EXPECT_EQ(numbers<uint32_t>(packed, 0), std::vector<uint32_t>(8, 0x76543210));
  EXPECT_EQ(numbers<uint16_t>(packed, 1), std::vector<uint16_t>(8, kQuarter));
  EXPECT_EQ(numbers<uint16_t>(packed, 2), std::vector<uint16_t>(8, to_f16(-2.0f).bits));
  EXPECT_EQ(mlx_zero(0.25f, -2, 4), 8);
  EXPECT_EQ(mlx_zero(0.25f, -2.1f, 4), std::nullopt);  // 8.4
  EXPECT_EQ(mlx_zero(0.25f, -4, 4), std::nullopt);     // 16 is no code of four bits
  EXPECT_EQ(mlx_zero(0.25f, 2, 4), std::nullopt);
}

// Ten codes of three bits a word, two bits left empty, as versions before 0.18 wrote them.
TEST(WorkedExample, CompressedTensorsWithGaps) {
  CompressedLinear linear;
  linear.grid = {.bits = 3, .group_size = -1};
  linear.rows = 1;
  linear.cols = 12;
  linear.gaps = true;
  const uint32_t words[] = {0b00'001'000'111'110'101'100'011'010'001'000, 0b011'010};
  const uint16_t scale = kQuarter;
  linear.packed = reinterpret_cast<const std::byte*>(words);
  linear.scales = reinterpret_cast<const std::byte*>(&scale);
  EXPECT_EQ(unpack_compressed(linear, 0, 1).codes,
            (std::vector<uint8_t>{0, 1, 2, 3, 4, 5, 6, 7, 0, 1, 2, 3}));
}

}  // namespace
}  // namespace halftone
