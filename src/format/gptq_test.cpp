#include "format/gptq.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <random>

#include "base/error.h"
#include "base/half.h"

namespace halftone {
namespace {

template <class T>
T element(const PackedTensor& tensor, size_t at) {
  T value;
  std::memcpy(&value, tensor.data.data() + at * sizeof(T), sizeof(T));
  return value;
}

std::vector<PackedTensor> pack(const std::string& module, const QuantizedMatrix& matrix) {
  return pack_gptq(module, matrix, gptq_version(matrix.grid));
}

// pack_gptq's order: g_idx, qweight, qzeros, scales.
GptqLinear linear_of(const std::vector<PackedTensor>& packed, const QuantizedMatrix& matrix) {
  GptqLinear linear;
  linear.grid = matrix.grid;
  linear.version = gptq_version(matrix.grid);
  linear.rows = matrix.rows;
  linear.cols = matrix.cols;
  linear.qweight = packed[1].data.data();
  linear.qzeros = packed[2].data.data();
  linear.scales = packed[3].data.data();
  linear.group_of = matrix.group_of;
  return linear;
}

QuantizedMatrix make_matrix(const Grid& grid, int64_t rows, int64_t cols) {
  QuantizedMatrix matrix;
  matrix.grid = grid;
  matrix.rows = rows;
  matrix.cols = cols;
  matrix.codes.resize(static_cast<size_t>(rows * cols));
  matrix.scales.assign(static_cast<size_t>(rows * grid.groups(cols)), 0.5f);
  matrix.zeros.assign(matrix.scales.size(), static_cast<uint8_t>(grid.symmetric_zero()));
  return matrix;
}

// Eight inputs whose codes are 0 … 7 fill one word from its low end; symmetric zeros are 8, stored
// as 7.
TEST(Gptq, WorkedExampleFourBits) {
  QuantizedMatrix matrix = make_matrix({.bits = 4, .group_size = 8}, 8, 8);
  for (size_t i = 0; i < 64; ++i) matrix.codes[i] = static_cast<uint8_t>(i % 8);
  const auto packed = pack("m", matrix);
  ASSERT_EQ(packed.size(), 4u);
  EXPECT_EQ(packed[0].name, "m.g_idx");
  EXPECT_EQ(packed[0].shape, (std::vector<int64_t>{8}));
  EXPECT_EQ(packed[1].name, "m.qweight");
  EXPECT_EQ(packed[1].shape, (std::vector<int64_t>{1, 8}));
  EXPECT_EQ(packed[2].name, "m.qzeros");
  EXPECT_EQ(packed[2].shape, (std::vector<int64_t>{1, 1}));
  EXPECT_EQ(packed[3].name, "m.scales");
  EXPECT_EQ(packed[3].shape, (std::vector<int64_t>{1, 8}));
  for (size_t row = 0; row < 8; ++row) {
    EXPECT_EQ(element<uint32_t>(packed[1], row), 0x76543210u);
    EXPECT_EQ(element<uint16_t>(packed[3], row), 0x3800);  // 0.5
    EXPECT_EQ(element<int32_t>(packed[0], row), 0);
  }
  EXPECT_EQ(element<uint32_t>(packed[2], 0), 0x77777777u);
}

// 32 codes of 3 bits are three words; codes 10 and 21 lie across them. 0 … 7 is 0xfac688 in 24
// bits.
TEST(Gptq, WorkedExampleThreeBits) {
  QuantizedMatrix matrix = make_matrix({.bits = 3, .group_size = -1, .symmetric = false}, 32, 32);
  for (size_t i = 0; i < matrix.codes.size(); ++i) matrix.codes[i] = static_cast<uint8_t>(i % 8);
  for (size_t i = 0; i < 32; ++i) matrix.zeros[i] = static_cast<uint8_t>(i % 8);
  const auto packed = pack("m", matrix);
  EXPECT_EQ(packed[1].shape, (std::vector<int64_t>{3, 32}));
  const uint32_t words[] = {0x88fac688u, 0xc688fac6u, 0xfac688fau};
  for (size_t word = 0; word < 3; ++word) {
    EXPECT_EQ(element<uint32_t>(packed[1], word * 32), words[word]);
    EXPECT_EQ(element<uint32_t>(packed[1], word * 32 + 31), words[word]);
    EXPECT_EQ(element<uint32_t>(packed[2], word), words[word]);  // v2: zeros as they are
  }
}

TEST(Gptq, SymmetricZerosAreV1sAtEveryWidth) {
  const std::pair<int, uint32_t> patterns[] = {
      {2, 0x55555555u}, {4, 0x77777777u}, {8, 0x7f7f7f7fu}};
  for (const auto& [bits, pattern] : patterns) {
    const auto packed = pack("m", make_matrix({.bits = bits, .group_size = 16}, 32, 32));
    EXPECT_EQ(element<uint32_t>(packed[2], 0), pattern) << bits;
  }
}

QuantizedMatrix random_matrix(const Grid& grid, int64_t rows, int64_t cols, std::mt19937& random) {
  QuantizedMatrix matrix = make_matrix(grid, rows, cols);
  const auto levels = static_cast<unsigned>(grid.levels());
  for (uint8_t& code : matrix.codes) code = static_cast<uint8_t>(random() % levels);
  if (!grid.symmetric) {
    for (uint8_t& zero : matrix.zeros) zero = static_cast<uint8_t>(random() % levels);
  }
  for (float& scale : matrix.scales) {
    scale = to_float(f16{static_cast<uint16_t>(random() & 0xfbff)});  // every finite half
  }
  return matrix;
}

TEST(Gptq, UnpackingPackedGivesTheSameMatrix) {
  std::mt19937 random(3);
  for (const int bits : {2, 3, 4, 8}) {
    for (const bool symmetric : {true, false}) {
      for (const int64_t group : {-1, 16, 32, 40}) {
        for (const int64_t cols : {32, 96, 160}) {
          for (const int64_t rows : {32, 64, 224}) {
            const Grid grid{.bits = bits, .group_size = group, .symmetric = symmetric};
            const QuantizedMatrix matrix = random_matrix(grid, rows, cols, random);
            const auto packed = pack("m", matrix);
            const GptqLinear linear = linear_of(packed, matrix);
            ASSERT_EQ(unpack_gptq(linear, 0, rows), matrix) << bits << " " << group << " " << cols;
            const QuantizedMatrix part = unpack_gptq(linear, 5, 29);
            for (int64_t row = 5; row < 29; ++row) {
              for (int64_t col = 0; col < cols; col += 7) {
                ASSERT_EQ(part.value(row - 5, col), matrix.value(row, col));
              }
            }
          }
        }
      }
    }
  }
}

TEST(Gptq, SmallestSizesThatFillWords) {
  std::mt19937 random(4);
  const Grid grid{.bits = 4, .group_size = 8};
  const QuantizedMatrix matrix = random_matrix(grid, 24, 40, random);
  EXPECT_EQ(unpack_gptq(linear_of(pack("m", matrix), matrix), 0, 24), matrix);
}

TEST(Gptq, GroupsOfColumnsSurvive) {
  std::mt19937 random(5);
  QuantizedMatrix matrix = random_matrix({.bits = 4, .group_size = 16}, 32, 64, random);
  for (int32_t col = 0; col < 64; ++col) matrix.group_of.push_back(col / 16);
  std::shuffle(matrix.group_of.begin(), matrix.group_of.end(), random);
  const auto packed = pack("m", matrix);
  for (size_t col = 0; col < 64; ++col) {
    EXPECT_EQ(element<int32_t>(packed[0], col), matrix.group_of[col]);
  }
  EXPECT_EQ(unpack_gptq(linear_of(packed, matrix), 0, 32), matrix);
}

TEST(Gptq, PlanIsWhatPackMakes) {
  for (const int bits : {2, 3, 4, 8}) {
    const QuantizedMatrix matrix = make_matrix({.bits = bits, .group_size = 48}, 64, 96);
    const auto plan = plan_gptq("a.b", matrix.grid, 64, 96);
    const auto packed = pack("a.b", matrix);
    ASSERT_EQ(plan.size(), packed.size());
    for (size_t i = 0; i < plan.size(); ++i) {
      EXPECT_EQ(plan[i].name, packed[i].name);
      EXPECT_EQ(plan[i].shape, packed[i].shape);
      EXPECT_EQ(plan[i].type, packed[i].type);
      EXPECT_EQ(plan[i].bytes, static_cast<int64_t>(packed[i].data.size()));
    }
  }
}

TEST(Gptq, SizesThatDoNotFillWordsAreRefused) {
  try {
    plan_gptq("model.layers.0.self_attn.k_proj", {.bits = 3, .group_size = -1}, 32, 40);
    ADD_FAILURE();
  } catch (const Error& error) {
    EXPECT_EQ(error.exit(), Exit::usage);
    EXPECT_NE(std::string(error.what()).find("k_proj: 40 inputs of 3 bits"), std::string::npos);
  }
  EXPECT_THROW(plan_gptq("m", {.bits = 4, .group_size = -1}, 12, 32), Error);
}

// A v1 zero of 0 is stored as −1, which GPTQModel subtracts from the whole word: 0 then 5 is
// 0x…50 − 0x…11 = 0x…3f with the borrow.
TEST(Gptq, V1ZeroThatBorrowedComesBack) {
  QuantizedMatrix matrix = make_matrix({.bits = 4, .group_size = 8, .symmetric = false}, 8, 8);
  auto packed = pack("m", matrix);
  const uint32_t zeros = 0x88888850u - 0x11111111u;
  std::memcpy(packed[2].data.data(), &zeros, sizeof(zeros));
  GptqLinear linear = linear_of(packed, matrix);
  linear.version = GptqVersion::v1;
  const auto unpacked = unpack_gptq(linear, 0, 8);
  EXPECT_EQ(unpacked.zeros, (std::vector<uint8_t>{0, 5, 8, 8, 8, 8, 8, 8}));
}

}  // namespace
}  // namespace halftone
