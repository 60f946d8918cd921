// What was written is what is read back, whoever writes it; what is missing, or was changed on the
// way to the disk, is found; and the network that was written is run.
#include "apps/output_stream.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <fstream>

#include "apps/output_check.h"
#include "apps/test_model_folder.h"
#include "backend/test_device.h"
#include "base/error.h"

namespace halftone {
namespace {

using ::testing::HasSubstr;

class OutputStreamTest : public ::testing::Test {
 protected:
  OutputStreamTest() {
    QuantizeOptions options;
    options.group_size = 16;
    plan_ = make_plan(model_, options);
    std::filesystem::create_directory(directory_);
  }

  OutputStreamInput input(Backend& backend) const { return {model_, plan_, 0, backend}; }

  // A stage of the plan, with codes that tell its modules apart.
  StageRecord stage(int layer, Stage which) const {
    StageRecord record{.id = {layer, which}, .linears = {}, .loudest = {}};
    for (const PlanRow& row : plan_.rows) {
      if (row.key.layer != layer || stage_of(row.key.role) != which) continue;
      FinishedLinear linear{.key = row.key, .module = row.module, .matrix = {}, .report = {}};
      linear.matrix.grid = row.grid;
      linear.matrix.rows = row.rows;
      linear.matrix.cols = row.cols;
      Rng rng(row.module.size() + static_cast<size_t>(row.key.role) + 100 * row.key.layer);
      for (int64_t i = 0; i < row.rows * row.cols; ++i)
        linear.matrix.codes.push_back(static_cast<uint8_t>(rng.below(16)));
      const auto groups = static_cast<size_t>(row.rows * row.grid.groups(row.cols));
      linear.matrix.scales.assign(groups, 0.03125f);
      linear.matrix.zeros.assign(groups, 8);
      record.linears.push_back(std::move(linear));
    }
    return record;
  }
  void add_layer(OutputStream& stream, int layer) const {
    for (int s = 0; s < kStages; ++s) stream.add(stage(layer, static_cast<Stage>(s)));
  }

  TestModelFolder folder_;
  OpenedModel model_ = folder_.open();
  const std::string directory_ = folder_.path("out");
  Plan plan_;
};

TEST_F(OutputStreamTest, WritesWhatIsReadBack) {
  for (const bool beside : {false, true}) {
    std::unique_ptr<Backend> backend = make_backend("cpu", {.threads = 2});
    if (beside) backend = std::make_unique<TestDevice>();
    OutputStream stream(input(*backend), directory_);
    EXPECT_EQ(stream.layers_compared(), 0);
    for (int layer = 0; layer < model_.config().layers; ++layer) add_layer(stream, layer);
    EXPECT_GT(stream.finish(), 0);
    EXPECT_EQ(stream.layers_compared(), model_.config().layers);
    const OpenedModel written = open_model(directory_);
    for (const FinishedLinear& linear : stage(1, Stage::mlp_in).linears)
      EXPECT_EQ(written.source->quantized(linear.module + ".weight")->codes, linear.matrix.codes);
  }
}

TEST_F(OutputStreamTest, AModuleThatIsMissingIsFound) {
  TestDevice device;
  OutputStream stream(input(device), directory_);
  add_layer(stream, 0);
  try {
    stream.finish();
    FAIL() << "finished";
  } catch (const Error& error) {
    EXPECT_EQ(error.exit(), Exit::bug);
    EXPECT_THAT(error.what(), HasSubstr("layer 1"));
  }
  EXPECT_EQ(stream.layers_compared(), 1);
}

// Scales of a grid that the format does not hold come back as others.
TEST_F(OutputStreamTest, WhatComesBackChangedIsFound) {
#ifndef NDEBUG
  GTEST_SKIP() << "with asserts, packing refuses a scale that would come back changed";
#endif
  TestDevice device;
  OutputStream stream(input(device), directory_);
  StageRecord changed = stage(0, Stage::attn_out);
  changed.linears[0].matrix.scales[3] = 1.0f / 3;  // f16 rounds it
  stream.add(std::move(changed));
  try {
    stream.finish();
    FAIL() << "finished";
  } catch (const Error& error) {
    EXPECT_EQ(error.exit(), Exit::bug);
    EXPECT_THAT(error.what(), HasSubstr("scales differ when read back"));
  }
}

// A first layer that stays dense is there when the dense tensors are, and not before.
TEST_F(OutputStreamTest, LayersCountWithTheirDenseTensors) {
  for (PlanRow& row : plan_.rows)
    if (row.key.layer == 0) {
      row.method.clear();
      row.skip_reason = "a test's";
    }
  TestDevice device;
  OutputStream stream(input(device), directory_);
  while (stream.layers_compared() == 0) std::this_thread::yield();
  const OpenedModel written = open_model(directory_);
  HostAllocator host;
  for (const StoredTensor& stored : written.source->tensors()) {
    if (stored.quantized || stored.rank != 1) continue;
    const Tensor was(host, 1, stored.cols, DType::f32), is(host, 1, stored.cols, DType::f32);
    model_.source->read(stored.name, 0, 1, was);
    written.source->read(stored.name, 0, 1, is);
    for (int64_t i = 0; i < stored.cols; ++i)
      ASSERT_EQ(is.row<float>(0)[i], was.row<float>(0)[i]) << stored.name;
  }
}

TEST_F(OutputStreamTest, TheWrittenNetworkRuns) {
  TestDevice device;
  OutputStream stream(input(device), directory_);
  OutputCheck check(device, stream, directory_, {1, 2, 3, 4}, DType::f32);
  check.beside({0, Stage::mlp_out}, false);  // nothing is there yet
  check.beside({0, Stage::mlp_out}, true);
  for (int layer = 0; layer < model_.config().layers; ++layer) {
    add_layer(stream, layer);
    while (stream.layers_compared() <= layer) std::this_thread::yield();
    check.beside({layer, Stage::mlp_out}, false);
    check.beside({layer, Stage::mlp_out}, true);
  }
  stream.finish();
  EXPECT_NO_THROW(check.finish());
}

}  // namespace
}  // namespace halftone
