// unpack(pack(q)) == q for every type, values as io/ggml_blocks decodes them, and what is refused.
#include "format/ggml_grids.h"

#include <gtest/gtest.h>

#include <random>

#include "base/half.h"
#include "format/ggml_packing.h"
#include "io/gguf.h"

namespace halftone {
namespace {

constexpr int64_t kRows = 3, kCols = 512;

float random_half(std::mt19937& random) {
  return to_float(f16{static_cast<uint16_t>((6 + random() % 10) << 10 | random() % 1024)});
}

QuantizedMatrix empty_matrix(const Grid& grid, int64_t rows, int64_t cols) {
  QuantizedMatrix matrix;
  matrix.grid = grid;
  matrix.rows = rows;
  matrix.cols = cols;
  matrix.codes.resize(static_cast<size_t>(rows * cols));
  matrix.scales.resize(static_cast<size_t>(rows * grid.groups(cols)));
  if (grid.offsets)
    matrix.offsets.resize(matrix.scales.size());
  else
    matrix.zeros.assign(matrix.scales.size(), static_cast<uint8_t>(grid.symmetric_zero()));
  return matrix;
}

QuantizedMatrix random_matrix(const Grid& grid, std::mt19937& random) {
  QuantizedMatrix matrix = empty_matrix(grid, kRows, kCols);
  for (uint8_t& code : matrix.codes)
    code = static_cast<uint8_t>(random() % static_cast<unsigned>(grid.levels()));
  const int64_t together = grid.superblock > 0 ? grid.superblock / grid.group_size : 1;
  float scale = 0, offset = 0;
  for (size_t i = 0; i < matrix.scales.size(); ++i) {
    if (static_cast<int64_t>(i) % together == 0) {
      scale = random_half(random);
      offset = random_half(random);
    }
    const int bits = grid.multiple_bits;
    const auto multiple = [&] {
      if (grid.superblock == 0) return 1.0f;
      const int value = static_cast<int>(random() % (1u << bits));
      return static_cast<float>(grid.offsets ? value : value - (1 << (bits - 1)));
    };
    matrix.scales[i] = scale * multiple();
    if (grid.offsets) matrix.offsets[i] = offset * multiple();
  }
  return matrix;
}

std::vector<std::byte> pack_row(std::string_view type, const QuantizedMatrix& matrix, int64_t row) {
  const GgmlBlock block = *ggml_block(type);
  std::vector<std::byte> bytes(static_cast<size_t>(matrix.cols / block.values * block.bytes));
  pack_ggml_row(type, matrix, row, bytes);
  return bytes;
}

// d = 0.5, codes 0 … 15 in the first half and 15 … 0 in the second: docs/formats.md.
TEST(GgmlGrids, WorkedExampleQ4_0) {
  QuantizedMatrix matrix = empty_matrix(*ggml_grid("Q4_0"), 1, 32);
  matrix.scales = {0.5f};
  for (int j = 0; j < 16; ++j) {
    matrix.codes[static_cast<size_t>(j)] = static_cast<uint8_t>(j);
    matrix.codes[static_cast<size_t>(j) + 16] = static_cast<uint8_t>(15 - j);
  }
  const auto bytes = pack_row("Q4_0", matrix, 0);
  ASSERT_EQ(bytes.size(), 18u);
  EXPECT_EQ(bytes[0], std::byte{0x00});
  EXPECT_EQ(bytes[1], std::byte{0x38});
  EXPECT_EQ(bytes[2], std::byte{0xf0});
  EXPECT_EQ(bytes[3], std::byte{0xe1});
  EXPECT_EQ(bytes[17], std::byte{0x0f});
}

TEST(GgmlGrids, EveryTypeComesBackAndIsWhatLlamaCppReads) {
  std::mt19937 random(1);
  for (const GgmlPacking& packing : ggml_packings()) {
    SCOPED_TRACE(packing.name);
    const QuantizedMatrix matrix = random_matrix(packing.grid, random);
    EXPECT_EQ(ggml_obstacle(packing.name, matrix), "");
    QuantizedMatrix again = empty_matrix(packing.grid, kRows, kCols);
    for (int64_t row = 0; row < kRows; ++row) {
      const auto bytes = pack_row(packing.name, matrix, row);
      unpack_ggml_row(packing.name, bytes, row, again);
      std::vector<float> values(kCols);
      ggml_dequantize(packing.name, bytes, values);
      for (int64_t col = 0; col < kCols; ++col)
        ASSERT_EQ(values[static_cast<size_t>(col)], matrix.value(row, col)) << row << ' ' << col;
    }
    EXPECT_EQ(again, matrix);
    EXPECT_EQ(ggml_type_of(packing.grid), packing.name);
  }
  EXPECT_EQ(ggml_grid("F16"), std::nullopt);
  EXPECT_EQ(ggml_type_of({.bits = 4, .group_size = 128}), std::nullopt);
}

// Any bytes are a matrix: what they unpack to is stored again with the same values.
TEST(GgmlGrids, ForeignBlocksAreStoredAgain) {
  std::mt19937 random(2);
  for (const GgmlPacking& packing : ggml_packings()) {
    SCOPED_TRACE(packing.name);
    const GgmlBlock block = *ggml_block(packing.name);
    std::vector<std::byte> bytes(static_cast<size_t>(block.bytes));
    for (std::byte& byte : bytes) byte = static_cast<std::byte>(random() & 0x3f);
    QuantizedMatrix matrix = empty_matrix(packing.grid, 1, block.values);
    unpack_ggml_row(packing.name, bytes, 0, matrix);
    ASSERT_EQ(ggml_obstacle(packing.name, matrix), "");
    QuantizedMatrix again = matrix;
    unpack_ggml_row(packing.name, pack_row(packing.name, matrix, 0), 0, again);
    EXPECT_EQ(again, matrix);
  }
}

TEST(GgmlGrids, WiderGroupsAreRepeated) {
  std::mt19937 random(3);
  Grid grid = *ggml_grid("Q4_0");
  grid.group_size = 128;
  const QuantizedMatrix matrix = random_matrix(grid, random);
  ASSERT_EQ(ggml_obstacle("Q4_0", matrix), "");
  QuantizedMatrix again = empty_matrix(*ggml_grid("Q4_0"), kRows, kCols);
  for (int64_t row = 0; row < kRows; ++row)
    unpack_ggml_row("Q4_0", pack_row("Q4_0", matrix, row), row, again);
  EXPECT_EQ(again, split_groups(matrix, 32));
}

// A symmetric 4-bit group of 256 is a Q4_K superblock: unit s/32, multiples 32; offset 8 s.
TEST(GgmlGrids, Q4_KHoldsSymmetricGroupsOf256) {
  std::mt19937 random(4);
  const QuantizedMatrix wide = random_matrix({.bits = 4, .group_size = 256}, random);
  const QuantizedMatrix matrix = *with_offsets(split_groups(wide, 32));
  EXPECT_EQ(ggml_obstacle("Q4_K", matrix), "");
}

TEST(GgmlGrids, SaysWhatIsInTheWay) {
  std::mt19937 random(5);
  QuantizedMatrix matrix = random_matrix(*ggml_grid("Q4_0"), random);
  EXPECT_NE(ggml_obstacle("Q8_0", matrix).find("levels"), std::string::npos);
  EXPECT_NE(ggml_obstacle("Q4_K", matrix).find("levels"), std::string::npos);
  matrix.zeros[5] = 7;
  EXPECT_NE(ggml_obstacle("Q4_0", matrix).find("a zero is 7"), std::string::npos);
  matrix.zeros[5] = 8;
  matrix.scales[7] = 0.1f;
  EXPECT_NE(ggml_obstacle("Q4_0", matrix).find("rounded to 0.0999"), std::string::npos);
  QuantizedMatrix superblocks = random_matrix(*ggml_grid("Q6_K"), random);
  superblocks.scales[3] *= 1.0001f;
  EXPECT_NE(ggml_obstacle("Q6_K", superblocks).find("not multiples"), std::string::npos);
  superblocks.cols = 288;
  EXPECT_NE(ggml_obstacle("Q6_K", superblocks).find("288 inputs"), std::string::npos);
}

TEST(GgmlGrids, OffsetsAndZerosAreTheSameWhereTheyAreExact) {
  std::mt19937 random(6);
  QuantizedMatrix matrix = random_matrix({.bits = 4, .group_size = 32, .symmetric = false}, random);
  matrix.scales[0] = 0x1.04p-4f;  // seven bits, and four of a zero: eleven
  matrix.zeros[0] = 13;
  for (size_t i = 1; i < matrix.scales.size(); ++i) matrix.scales[i] = 0.25f;
  const auto offsets = with_offsets(matrix);
  ASSERT_TRUE(offsets);
  EXPECT_EQ(offsets->offsets[0], 13 * 0x1.04p-4f);
  EXPECT_EQ(*with_zeros(*offsets), matrix);
  matrix.scales[0] = 0x1.044p-4f;
  EXPECT_FALSE(with_offsets(matrix));
  QuantizedMatrix between = *offsets;
  between.offsets[0] = 0.3f;
  EXPECT_FALSE(with_zeros(between));
}

TEST(FindMultiples, TakesSignsAndRefusesFractions) {
  const float signs[] = {3, -6, 0, 1.5f};
  const auto found = find_multiples(signs, -32, 31);
  ASSERT_TRUE(found);
  for (int i = 0; i < 4; ++i)
    EXPECT_EQ(found->unit * static_cast<float>(found->values[i]), signs[i]);
  const float fractions[] = {1, 1.0f / 3};
  EXPECT_FALSE(find_multiples(fractions, 0, 63));
  const float nothing[] = {0, 0};
  EXPECT_EQ(find_multiples(nothing, 0, 63)->unit, 0);
  EXPECT_FALSE(find_multiples(signs, 0, 63)) << "both signs without a sign";
}

}  // namespace
}  // namespace halftone
