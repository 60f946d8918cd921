// What every packed format promises, over the table: unpack(pack(q)) == q through a real
// checkpoint and its reader, plans that are what is packed, and refusals that say what is held.
#include <gtest/gtest.h>

#include <fstream>
#include <random>

#include "base/error.h"
#include "base/file.h"
#include "base/half.h"
#include "base/temporary_directory.h"
#include "format/format.h"
#include "format/open_weights.h"

namespace halftone {
namespace {

constexpr const char* kModule = "model.layers.0.mlp.down_proj";

struct Shape {
  int64_t rows = 0, cols = 0;
};

// Finite halves that are not so small or large that a product with a zero leaves f16, and with a
// significand that is `short_by` bits shorter.
float random_scale(std::mt19937& random, int short_by) {
  const auto significand = static_cast<unsigned>(random() % 1024 >> short_by << short_by);
  const auto exponent = static_cast<unsigned>(6 + random() % 10);
  return to_float(f16{static_cast<uint16_t>(exponent << 10 | significand)});
}

QuantizedMatrix random_matrix(const Grid& grid, Shape shape, std::mt19937& random) {
  QuantizedMatrix matrix;
  matrix.grid = grid;
  matrix.rows = shape.rows;
  matrix.cols = shape.cols;
  const auto levels = static_cast<unsigned>(grid.levels());
  for (int64_t i = 0; i < shape.rows * shape.cols; ++i)
    matrix.codes.push_back(static_cast<uint8_t>(random() % levels));
  const bool shortened = grid.stores_offset && !grid.symmetric;
  for (int64_t i = 0; i < shape.rows * grid.groups(shape.cols); ++i) {
    const float scale = random_scale(random, shortened ? grid.bits : 0);
    matrix.scales.push_back(round_to(grid.scales, scale));
    matrix.zeros.push_back(static_cast<uint8_t>(
        grid.symmetric ? grid.symmetric_zero() : static_cast<int>(random() % levels)));
  }
  return matrix;
}

// A checkpoint of one packed module and nothing else, whose codes are not written.
std::unique_ptr<SafetensorsWriter> begin_checkpoint(const Format& format,
                                                    const QuantizedMatrix& matrix,
                                                    const std::string& directory) {
  Json config = {{"model_type", "llama"}};
  const QuantizationSummary summary{
      .modules = {{kModule, Role::down, matrix.rows, matrix.cols, matrix.grid}}};
  for (const std::string_view key : format.config_keys)
    config[std::string(key)] = format.configuration(summary);
  std::ofstream(directory + "/config.json") << config;
  return std::make_unique<SafetensorsWriter>(
      directory, format.packed_plan(kModule, matrix.grid, matrix.rows, matrix.cols));
}

void write_checkpoint(const Format& format, const QuantizedMatrix& matrix,
                      const std::string& directory) {
  const std::vector<TensorPlan> plan =
      format.packed_plan(kModule, matrix.grid, matrix.rows, matrix.cols);
  const std::vector<PackedTensor> packed = format.pack(kModule, matrix);
  ASSERT_EQ(plan.size(), packed.size());
  for (size_t i = 0; i < plan.size(); ++i) {
    EXPECT_EQ(plan[i].name, packed[i].name);
    EXPECT_EQ(plan[i].type, packed[i].type);
    EXPECT_EQ(plan[i].shape, packed[i].shape);
    EXPECT_EQ(plan[i].bytes, static_cast<int64_t>(packed[i].data.size()));
  }
  const auto writer = begin_checkpoint(format, matrix, directory);
  for (const PackedTensor& tensor : packed) writer->write(tensor.name, tensor.data);
  writer->finish();
}

void check_round_trip(const Format& format, const QuantizedMatrix& matrix) {
  const TemporaryDirectory place;
  write_checkpoint(format, matrix, place.path());
  const Checkpoint checkpoint = Checkpoint::open(place.path());
  const OpenedWeights opened = open_weights(checkpoint);
  ASSERT_EQ(opened.source->tensors().size(), 1u);
  const StoredTensor& stored = opened.source->tensors()[0];
  EXPECT_EQ(stored.name, std::string(kModule) + ".weight");
  EXPECT_TRUE(stored.quantized);
  EXPECT_EQ(stored.grid, matrix.grid);
  const auto back = opened.source->quantized(stored.name);
  ASSERT_TRUE(back.has_value());
  EXPECT_EQ(*back, matrix);

  HostAllocator host;
  const Tensor rows(host, 5, matrix.cols, DType::f32);
  opened.source->read(stored.name, 7, 12, rows);
  for (int64_t row = 0; row < 5; ++row)
    for (int64_t col = 0; col < matrix.cols; ++col)
      ASSERT_EQ(rows.row<float>(row)[col], matrix.value(row + 7, col));
}

// Whether the format holds the grid; what it stores of it in `grid`.
bool holds(const Format& format, Grid& grid) {
  try {
    grid = format.grid(grid);
    return true;
  } catch (const Error& error) {
    EXPECT_EQ(error.exit(), Exit::usage);
    EXPECT_NE(std::string(error.what()).find("expected"), std::string::npos) << error.what();
    return false;
  }
}

TEST(PackedFormats, WhatIsPackedComesBackFromACheckpoint) {
  std::mt19937 random(1);
  for (const Format& format : formats()) {
    if (format.config_keys.empty()) continue;  // gguf: ggml_grids_test.cpp
    int grids = 0;
    for (const int bits : {2, 3, 4, 5, 6, 8}) {
      for (const bool symmetric : {true, false}) {
        for (const int64_t group : {-1, 16, 32, 64, 128}) {
          for (const ScaleStore scales : {ScaleStore::f16, ScaleStore::bf16}) {
            Grid grid{.bits = bits, .group_size = group, .symmetric = symmetric, .scales = scales};
            if (!holds(format, grid)) continue;
            if (grid.stores_offset && !symmetric && scales == ScaleStore::bf16) continue;
            SCOPED_TRACE(fmt::format("{} {} bits {} groups of {}", format.name, bits,
                                     symmetric ? "sym" : "asym", group));
            ++grids;
            const QuantizedMatrix matrix = random_matrix(grid, {32, 128}, random);
            ASSERT_EQ(format.obstacle(matrix), "");
            check_round_trip(format, matrix);
          }
        }
      }
    }
    EXPECT_GE(grids, 10) << format.name;
  }
}

// Nothing of what stood in the files before is remembered: neither zeros, nor groups, nor scales.
TEST(PackedFormats, ALinearIsReadAsItIsWhenAskedFor) {
  std::mt19937 random(7);
  for (const Format& format : formats()) {
    if (format.config_keys.empty()) continue;
    SCOPED_TRACE(format.name);
    Grid grid{.bits = 4, .group_size = 32};
    ASSERT_TRUE(holds(format, grid));
    const QuantizedMatrix matrix = random_matrix(grid, {32, 128}, random);
    const TemporaryDirectory place;
    const auto writer = begin_checkpoint(format, matrix, place.path());
    const Checkpoint checkpoint = Checkpoint::open(place.path());
    const LinearReader reader(checkpoint);
    const std::vector<TensorPlan> planned =
        format.packed_plan(kModule, matrix.grid, matrix.rows, matrix.cols);
    for (const TensorPlan& known : planned)  // as an output has it before its first codes
      if (!known.value.empty()) writer->write(known.name, known.value);
    const OpenedWeights opened = open_weights(checkpoint);
    for (const PackedTensor& tensor : format.pack(kModule, matrix))
      if (!std::any_of(planned.begin(), planned.end(), [&](const TensorPlan& known) {
            return known.name == tensor.name && !known.value.empty();
          }))
        writer->write(tensor.name, tensor.data);
    EXPECT_EQ(reader.read(kModule), matrix);
    // What was opened as a whole gives its values, too: the network is run while it is written.
    HostAllocator host;
    const Tensor values(host, matrix.rows, matrix.cols, DType::f32);
    opened.source->read(std::string(kModule) + ".weight", 0, matrix.rows, values);
    for (int64_t row = 0; row < matrix.rows; ++row)
      for (int64_t col = 0; col < matrix.cols; ++col)
        ASSERT_EQ(values.row<float>(row)[col], matrix.value(row, col)) << row << ", " << col;
    EXPECT_THROW(reader.read("model.layers.1.mlp.down_proj"), Error);
  }
}

TEST(PackedFormats, ScalesThatWouldBeRoundedAreAnObstacle) {
  for (const Format& format : formats()) {
    Grid grid{.bits = 4, .group_size = 32};
    ASSERT_TRUE(holds(format, grid));
    std::mt19937 random(2);
    QuantizedMatrix matrix = random_matrix(grid, {32, 64}, random);
    matrix.scales[3] = 0.1f;  // not an f16
    EXPECT_NE(format.obstacle(matrix), "") << format.name;
    matrix.scales[3] = 0.25f;
    EXPECT_EQ(format.obstacle(matrix), "") << format.name;
    matrix.grid.table = LevelTable::iq4_nl;
    EXPECT_NE(format.obstacle(matrix), "") << format.name;
  }
}

TEST(PackedFormats, ScatteredGroupsAreHeldByGptqAlone) {
  for (const Format& format : formats()) {
    Grid grid{.bits = 4, .group_size = 32};
    ASSERT_TRUE(holds(format, grid));
    std::mt19937 random(3);
    QuantizedMatrix matrix = random_matrix(grid, {32, 64}, random);
    for (int32_t col = 0; col < 64; ++col) matrix.group_of.push_back(col % 2);
    EXPECT_EQ(format.obstacle(matrix).empty(), format.name.starts_with("gptq")) << format.name;
  }
}

// bf16 keeps 8 bits of significand: 0.7109375 (91 / 128) times 3 needs 9.
TEST(PackedFormats, MlxRefusesAProductThatWouldBeRounded) {
  const Format& mlx = find_format("mlx");
  Grid grid{.bits = 4, .group_size = 32, .symmetric = false, .scales = ScaleStore::bf16};
  ASSERT_TRUE(holds(mlx, grid));
  QuantizedMatrix matrix;
  matrix.grid = grid;
  matrix.rows = 1;
  matrix.cols = 32;
  matrix.codes.resize(32);
  matrix.scales = {0.7109375f};
  matrix.zeros = {3};
  EXPECT_NE(mlx.obstacle(matrix).find("would be rounded"), std::string::npos);
  matrix.zeros = {8};
  EXPECT_EQ(mlx.obstacle(matrix), "");
}

}  // namespace
}  // namespace halftone
