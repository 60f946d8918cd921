// A bench of a tiny shape, on the processor: the figures that must agree with each other.
#include "apps/bench_quantize.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <filesystem>

#include "apps/bench_workdir.h"
#include "apps/calibration.h"
#include "apps/model_shapes.h"
#include "apps/synthetic_model.h"
#include "base/error.h"
#include "base/temporary_directory.h"

namespace halftone {
namespace {

using ::testing::HasSubstr;

BenchQuantizeOptions tiny_options(const std::string& workdir) {
  BenchQuantizeOptions options;
  options.shape = std::string(HALFTONE_SOURCE_DIR) + "/tests/data/tiny/qwen2";
  options.workdir = workdir;
  options.quantize.group_size = 16;
  options.quantize.samples = 2;
  options.quantize.samples_given = true;
  options.quantize.seq_len = 32;
  options.quantize.quiet = true;
  return options;
}

const BenchStage* find_stage(const BenchQuantizeResult& result, const std::string& name) {
  const auto at = std::ranges::find(result.stages, name, &BenchStage::name);
  return at == result.stages.end() ? nullptr : &*at;
}

const BenchTask* find_task(const BenchQuantizeResult& result, const std::string& name) {
  const auto at = std::ranges::find(result.tasks, name, &BenchTask::name);
  return at == result.tasks.end() ? nullptr : &*at;
}

// The tiny shape with rows that blocks of `width` divide, without a tokenizer, in `folder`.
void write_shape(BenchQuantizeOptions& options, Backend& backend, const std::string& folder,
                 int64_t width) {
  Json config = read_json_file(options.shape + "/config.json");
  config["intermediate_size"] = width;
  write_synthetic_model(config, folder, backend.host_threads(), true);
  options.shape = folder;
  options.quantize.group_size = 32;
}

TEST(BenchQuantize, MeasuresSomeLayersAndTellsAll) {
  const TemporaryDirectory folder;
  const auto backend = make_backend("cpu", {.threads = 2});
  BenchQuantizeOptions options = tiny_options(folder.path());
  options.layers = 1;
  const BenchQuantizeResult result = bench_quantize(*backend, options);
  EXPECT_EQ(result.layers_measured, 1);
  EXPECT_GT(result.layers, 1);
  EXPECT_GE(result.seconds, result.seconds_measured);
  EXPECT_TRUE(std::filesystem::is_empty(folder.path())) << "something is left behind";
  double stages = result.everything_else;
  for (const BenchStage& stage : result.stages) {
    EXPECT_GT(stage.seconds, 0) << stage.name;
    stages += stage.seconds;
  }
  EXPECT_LE(result.seconds_per_layer, result.seconds_measured);
  EXPECT_GE(stages, .5 * result.seconds_per_layer);
  EXPECT_THAT(bench_table(result), HasSubstr("(1 measured)"));
}

// Before anything is measured, too.
TEST(BenchQuantize, WhatTheShapeCannotBeIsSaidBeforeAModelIsMadeUp) {
  const TemporaryDirectory folder;
  const auto backend = make_backend("cpu", {.threads = 2});
  BenchQuantizeOptions options = tiny_options(folder.path());
  options.quantize.group_size = 48;
  options.quantize.quiet = false;
  testing::internal::CaptureStderr();
  testing::internal::CaptureStdout();
  std::string refusal;
  try {
    bench_quantize(*backend, options);
  } catch (const Error& error) {
    EXPECT_EQ(error.exit(), Exit::usage);
    refusal = error.what();
  }
  const std::string said = testing::internal::GetCapturedStderr();
  EXPECT_EQ(testing::internal::GetCapturedStdout() + said, "");
  EXPECT_THAT(refusal, HasSubstr("48"));
  EXPECT_TRUE(std::filesystem::is_empty(folder.path())) << "something is left behind";
}

// Of a shape without a tokenizer, which a GGUF must carry.
TEST(BenchQuantize, WritesEveryFormat) {
  const auto backend = make_backend("cpu", {.threads = 2});
  for (const Format& format : formats()) {
    const TemporaryDirectory folder, shape;
    BenchQuantizeOptions options = tiny_options(folder.path());
    write_shape(options, *backend, shape.path(), 64);  // groups of 32, which every format has
    options.quantize.format = format.name;
    options.layers = 1;
    const BenchQuantizeResult result = bench_quantize(*backend, options);
    EXPECT_EQ(result.layers_measured, 1) << format.name;
  }
}

TEST(BenchQuantize, CountsWhatAStageDoes) {
  const TemporaryDirectory folder;
  const auto backend = make_backend("cpu", {.threads = 2});
  const BenchQuantizeResult result = bench_quantize(*backend, tiny_options(folder.path()));
  EXPECT_EQ(result.layers_measured, result.layers);
  EXPECT_DOUBLE_EQ(result.seconds, result.seconds_measured);
  const auto stage = std::find_if(result.stages.begin(), result.stages.end(),
                                  [](const BenchStage& each) { return each.name == "Hessians"; });
  ASSERT_NE(stage, result.stages.end());
  const Json config = read_json_file(tiny_options("").shape + "/config.json");
  const double hidden = config["hidden_size"], intermediate = config["intermediate_size"];
  // Inputs of q, k, v; of o (as wide here); of gate and up; of down. 2 samples of 32 tokens.
  const double each = 3 * hidden * (hidden + 1) + intermediate * (intermediate + 1);
  EXPECT_DOUBLE_EQ(stage->operations, 2 * 32 * each);
  ASSERT_TRUE(stage->of_ceiling.has_value());
  EXPECT_GT(*stage->of_ceiling, 0);
}

// By the network and by its original; every position but each window's last has a next token.
TEST(BenchQuantize, CountsTheLoss) {
  const TemporaryDirectory folder;
  const auto backend = make_backend("cpu", {.threads = 2});
  BenchQuantizeOptions options = tiny_options(folder.path());
  options.layers = 1;
  const BenchQuantizeResult result = bench_quantize(*backend, options);
  const Json config = read_json_file(options.shape + "/config.json");
  const double hidden = config["hidden_size"], vocab = config["vocab_size"];
  const auto scored = static_cast<double>(wanted_held_out(2) * (32 - 1));
  EXPECT_DOUBLE_EQ(result.loss.operations, 2 * scored * 2 * hidden * vocab);
  EXPECT_DOUBLE_EQ(result.loss.bytes, 2 * scored * vocab * 4);
  EXPECT_GT(result.loss.head_seconds, 0);
  EXPECT_GT(result.loss.score_seconds, 0);
  EXPECT_THAT(bench_table(result), HasSubstr("loss: head "));
  const Json loss = to_json(result)["loss"];
  EXPECT_GT(loss["head_of_ceiling"], 0);
  EXPECT_GT(loss["score_of_ceiling"], 0);
}

// Lengths as conversations have them: not one window's, and counted as they are.
TEST(BenchQuantize, UnevenSequences) {
  const TemporaryDirectory folder;
  const auto backend = make_backend("cpu", {.threads = 2});
  BenchQuantizeOptions options = tiny_options(folder.path());
  options.layers = 1;
  options.quantize.samples = 40;
  options.quantize.seq_len = 128;
  options.quantize.sequences = "whole";
  const BenchQuantizeResult result = bench_quantize(*backend, options);
  EXPECT_GT(result.tokens, 40 * 128 / 8);
  EXPECT_LT(result.tokens, 40 * 128 / 2);
  EXPECT_THAT(bench_table(result), HasSubstr("40 sequences of 16 to "));
  EXPECT_EQ(to_json(result)["tokens"], result.tokens);
  const auto stage = std::find_if(result.stages.begin(), result.stages.end(),
                                  [](const BenchStage& each) { return each.name == "Hessians"; });
  ASSERT_NE(stage, result.stages.end());
  const Json config = read_json_file(options.shape + "/config.json");
  const double hidden = config["hidden_size"], intermediate = config["intermediate_size"];
  const double each = 3 * hidden * (hidden + 1) + intermediate * (intermediate + 1);
  EXPECT_DOUBLE_EQ(stage->operations, static_cast<double>(result.tokens) * each);
}

// A transform goes through all layers before they are quantized: each that is not measured costs
// both ways, and what one stage does in the first is not counted to the second.
TEST(BenchQuantize, CountsATransformsPass) {
  const TemporaryDirectory folder;
  const auto backend = make_backend("cpu", {.threads = 2});
  BenchQuantizeOptions options = tiny_options(folder.path());
  options.quantize.method = "awq+gptq";
  options.layers = 1;
  const BenchQuantizeResult result = bench_quantize(*backend, options);
  const BenchStage* pass = find_stage(result, "find scales");
  ASSERT_NE(pass, nullptr);
  EXPECT_GT(pass->seconds, 0);
  EXPECT_GT(result.seconds_per_layer, pass->seconds);
  EXPECT_GE(result.seconds,
            result.seconds_measured + static_cast<double>(result.layers - 1) * pass->seconds);
  options.quantize.method = "gptq";
  const BenchQuantizeResult plain = bench_quantize(*backend, options);
  EXPECT_EQ(find_stage(plain, "find scales"), nullptr);
  ASSERT_NE(find_stage(plain, "Hessians"), nullptr);
  EXPECT_EQ(find_stage(result, "Hessians")->operations, find_stage(plain, "Hessians")->operations);
}

// A GGUF's tables are rounded once, and its head is looked at once, whatever the layers are.
TEST(BenchQuantize, CountsTablesOnce) {
  const TemporaryDirectory folder, shape;
  const auto backend = make_backend("cpu", {.threads = 2});
  BenchQuantizeOptions options = tiny_options(folder.path());
  write_shape(options, *backend, shape.path(), 64);
  options.quantize.method = "rtn";
  options.quantize.format = "gguf";
  options.layers = 1;
  const BenchQuantizeResult result = bench_quantize(*backend, options);
  for (const std::string name : {"write tables", "verify the head"}) {
    const BenchTask* task = find_task(result, name);
    ASSERT_NE(task, nullptr) << name;
    EXPECT_GT(task->seconds, 0) << name;
    EXPECT_EQ(task->seconds_all, task->seconds) << name;
  }
  const BenchTask* verify = find_task(result, "verify");
  ASSERT_NE(verify, nullptr);
  EXPECT_DOUBLE_EQ(verify->seconds_all, verify->seconds * static_cast<double>(result.layers));
}

// One layer is a whole one: with the windows' way behind its last stage.
TEST(BenchQuantize, OneLayerHasAllItsStages) {
  const TemporaryDirectory folder;
  const auto backend = make_backend("cpu", {.threads = 2});
  BenchQuantizeOptions options = tiny_options(folder.path());
  options.layers = 1;
  const BenchQuantizeResult result = bench_quantize(*backend, options);
  double stages = 0;
  for (const BenchStage& stage : result.stages)
    if (!stage.hidden) stages += stage.seconds;
  EXPECT_GE(result.seconds_per_layer, .999 * stages);
}

// ggml's searches are arithmetic: no share of what memory gives.
TEST(BenchQuantize, ScalesHaveACeilingOnPlainGridsAlone) {
  const TemporaryDirectory folder, shape;
  const auto backend = make_backend("cpu", {.threads = 2});
  BenchQuantizeOptions options = tiny_options(folder.path());
  write_shape(options, *backend, shape.path(), 64);
  options.quantize.method = "rtn";
  options.layers = 1;
  const BenchQuantizeResult plain = bench_quantize(*backend, options);
  ASSERT_NE(find_stage(plain, "scales"), nullptr);
  EXPECT_TRUE(find_stage(plain, "scales")->of_ceiling.has_value());
  options.quantize.format = "gguf";
  options.quantize.gguf.type = "Q4_0";
  const BenchQuantizeResult ggml = bench_quantize(*backend, options);
  ASSERT_NE(find_stage(ggml, "scales"), nullptr);
  EXPECT_FALSE(find_stage(ggml, "scales")->of_ceiling.has_value());
}

TEST(BenchQuantize, AHeadIsQuantizedOnce) {
  const TemporaryDirectory folder;
  const auto backend = make_backend("cpu", {.threads = 2});
  BenchQuantizeOptions options = tiny_options(folder.path());
  options.quantize.lm_head = true;
  options.layers = 1;
  const BenchQuantizeResult result = bench_quantize(*backend, options);
  const BenchTask* head = find_task(result, "quantize the head");
  ASSERT_NE(head, nullptr);
  EXPECT_GT(head->seconds, 0);
  EXPECT_EQ(head->seconds_all, head->seconds);
  options.quantize.lm_head = false;
  const BenchQuantizeResult without = bench_quantize(*backend, options);
  EXPECT_EQ(find_stage(result, "Hessians")->operations,
            find_stage(without, "Hessians")->operations);
}

// 8.5 bits in the file and 9.25 in the journal, not 4.5 each.
TEST(BenchQuantize, DiskIsSizedByTheType) {
  Json config = read_json_file(tiny_options("").shape + "/config.json");
  config["intermediate_size"] = 64;
  QuantizeOptions options;
  options.format = "gguf";
  options.gguf.type = "Q4_0";
  const auto four = static_cast<double>(bench_disk_bytes(config, 2, options));
  options.gguf.type = "Q8_0";
  const auto eight = static_cast<double>(bench_disk_bytes(config, 2, options));
  const int64_t layer =
      synthetic_bytes(with_layers(config, 2)) - synthetic_bytes(with_layers(config, 1));
  EXPECT_NEAR(eight - four, 2 * static_cast<double>(layer) * 8 / 16, 2);
}

}  // namespace
}  // namespace halftone
