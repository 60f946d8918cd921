// What the journal keeps comes back as it was, and bytes that are no record are refused.
#include "apps/stage_record.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <cstring>

#include "base/error.h"
#include "base/rng.h"

namespace halftone {
namespace {

QuantizedMatrix random_matrix(const Grid& grid, int64_t rows, int64_t cols, uint64_t seed) {
  Rng rng(seed);
  QuantizedMatrix matrix{.grid = grid,
                         .rows = rows,
                         .cols = cols,
                         .codes = {},
                         .scales = {},
                         .zeros = {},
                         .group_of = {}};
  const auto level = [&] {
    return static_cast<uint8_t>(rng.below(static_cast<uint64_t>(grid.levels())));
  };
  for (int64_t i = 0; i < rows * cols; ++i) matrix.codes.push_back(level());
  for (int64_t i = 0; i < rows * grid.groups(cols); ++i) {
    matrix.scales.push_back(static_cast<float>(rng.uniform()));
    matrix.zeros.push_back(grid.symmetric ? static_cast<uint8_t>(grid.symmetric_zero()) : level());
  }
  return matrix;
}

FinishedLinear linear_of(QuantizedMatrix matrix) {
  FinishedLinear linear{.key = {.layer = 3, .role = Role::gate},
                        .module = "model.layers.3.mlp.gate_proj",
                        .matrix = std::move(matrix),
                        .report = {},
                        .seconds = 1.25};
  linear.report = {
      .relative_error = 0.0021, .damping = 0.04, .dead_columns = 2, .note = "damping raised"};
  return linear;
}

StageRecord record_of(std::vector<QuantizedMatrix> matrices) {
  StageRecord record{.id = {.layer = 3, .stage = Stage::mlp_in, .expert = 7},
                     .linears = {},
                     .loudest = {{5, 12.5}, {0, 3.25}},
                     .typical_rms = 0.75};
  for (QuantizedMatrix& matrix : matrices) record.linears.push_back(linear_of(std::move(matrix)));
  return record;
}

void expect_same(const StageRecord& a, const StageRecord& b) {
  EXPECT_EQ(a.id, b.id);
  EXPECT_EQ(a.typical_rms, b.typical_rms);
  ASSERT_EQ(a.loudest.size(), b.loudest.size());
  for (size_t i = 0; i < a.loudest.size(); ++i) {
    EXPECT_EQ(a.loudest[i].channel, b.loudest[i].channel);
    EXPECT_EQ(a.loudest[i].rms, b.loudest[i].rms);
  }
  ASSERT_EQ(a.linears.size(), b.linears.size());
  for (size_t i = 0; i < a.linears.size(); ++i) {
    const FinishedLinear &x = a.linears[i], &y = b.linears[i];
    EXPECT_EQ(x.key, y.key);
    EXPECT_EQ(x.module, y.module);
    EXPECT_EQ(x.matrix, y.matrix);
    EXPECT_EQ(x.report.relative_error, y.report.relative_error);
    EXPECT_EQ(x.report.damping, y.report.damping);
    EXPECT_EQ(x.report.dead_columns, y.report.dead_columns);
    EXPECT_EQ(x.report.note, y.report.note);
    EXPECT_EQ(x.seconds, y.seconds);
  }
}

// Odd sizes, so that codes straddle bytes and the last byte is not full.
TEST(StageRecord, ComesBackAsItWas) {
  for (const int bits : {2, 3, 4, 8})
    for (const bool symmetric : {true, false})
      for (const int64_t group : {int64_t{5}, int64_t{-1}}) {
        SCOPED_TRACE(
            fmt::format("{} bits, {}, groups of {}", bits, symmetric ? "sym" : "asym", group));
        const Grid grid{
            .bits = bits, .group_size = group, .symmetric = symmetric, .scales = ScaleStore::bf16};
        const StageRecord record =
            record_of({random_matrix(grid, 3, 25, 1), random_matrix(grid, 7, 25, 2)});
        expect_same(deserialize(serialize(record)), record);
      }
}

TEST(StageRecord, KeepsTheGroupsOfColumnsAndWhatWasNotMeasured) {
  QuantizedMatrix matrix = random_matrix({.bits = 4, .group_size = 8}, 2, 16, 1);
  matrix.group_of.resize(16);
  for (size_t col = 0; col < 16; ++col) matrix.group_of[col] = static_cast<int32_t>((col * 3) % 2);
  StageRecord record = record_of({matrix});
  record.linears[0].report = {};
  const StageRecord back = deserialize(serialize(record));
  expect_same(back, record);
  EXPECT_FALSE(back.linears[0].report.relative_error.has_value());
}

TEST(StageRecord, NamesSayWhichStage) {
  EXPECT_EQ(record_name({.layer = 3, .stage = Stage::attn_out}), "layer 3 attn_out");
  EXPECT_EQ(record_name({.layer = 0, .stage = Stage::mlp_in, .expert = 7}),
            "layer 0 mlp_in expert 7");
}

TEST(StageRecord, EveryTruncationIsRefused) {
  const auto bytes = serialize(
      record_of({random_matrix({.bits = 3, .group_size = 4, .symmetric = false}, 3, 8, 1)}));
  for (size_t size = 0; size < bytes.size(); ++size)
    EXPECT_THROW(deserialize(std::span(bytes).first(size)), Error)
        << size << " of " << bytes.size();
  auto longer = bytes;
  longer.push_back(std::byte{0});
  EXPECT_THROW(deserialize(longer), Error);
}

// A flipped code or scale is another record (the journal's hash finds it); whatever else is flipped
// is refused, and what is not refused can be used without harm.
TEST(StageRecord, FlippedBitsAreRefusedOrHarmless) {
  QuantizedMatrix matrix = random_matrix({.bits = 3, .group_size = 4, .symmetric = false}, 3, 8, 1);
  matrix.group_of = {0, 1, 0, 1, 0, 1, 0, 1};
  const auto good = serialize(record_of({matrix, matrix}));
  Rng rng(5);
  int refused = 0, taken = 0;
  for (int attempt = 0; attempt < 20000; ++attempt) {
    auto bytes = good;
    for (uint64_t flips = 1 + rng.below(4); flips > 0; --flips)
      bytes[rng.below(bytes.size())] ^= static_cast<std::byte>(1u << rng.below(8));
    try {
      const StageRecord record = deserialize(bytes);
      ++taken;
      float sum = 0;
      for (const FinishedLinear& linear : record.linears)
        for (int64_t row = 0; row < linear.matrix.rows; ++row)
          for (int64_t col = 0; col < linear.matrix.cols; ++col) {
            ASSERT_LT(linear.matrix.group(col), linear.matrix.groups());
            sum += linear.matrix.value(row, col);
          }
      const auto again = serialize(record);
      EXPECT_EQ(serialize(deserialize(again)), again) << sum;
    } catch (const Error& error) {
      EXPECT_EQ(error.exit(), Exit::bad_input) << error.what();
      ++refused;
    }
  }
  EXPECT_GT(refused, 1000);
  EXPECT_GT(taken, 1000);
}

// 2^31 − 1 squared times eight bits wraps around 64 bits; counts that would need all memory.
TEST(StageRecord, SizesThatOverflowAreRefused) {
  const auto good = serialize(record_of({random_matrix({.bits = 8, .group_size = -1}, 2, 4, 1)}));
  const int64_t rows_and_cols[2] = {2, 4};
  const auto* needle = reinterpret_cast<const std::byte*>(rows_and_cols);
  const auto at = std::search(good.begin(), good.end(), needle, needle + sizeof rows_and_cols);
  ASSERT_NE(at, good.end());
  for (const int64_t size :
       {int64_t{1} << 30, (int64_t{1} << 31) - 1, int64_t{1} << 61, int64_t{-1}, int64_t{0}}) {
    auto bytes = good;
    const int64_t both[2] = {size, size};
    std::memcpy(bytes.data() + (at - good.begin()), both, sizeof both);
    EXPECT_THROW(deserialize(bytes), Error) << size;
  }
}

TEST(StageRecord, AnotherVersionSaysSo) {
  auto bytes = serialize(record_of({}));
  bytes[0] = std::byte{99};
  try {
    deserialize(bytes);
    FAIL() << "taken";
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), ::testing::HasSubstr("version 99"));
    EXPECT_THAT(error.hint(), ::testing::HasSubstr("--force"));
  }
}

}  // namespace
}  // namespace halftone
