// A bench of a tiny shape, on the processor: the figures that must agree with each other.
#include "apps/bench_quantize.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <filesystem>

#include "apps/synthetic_model.h"
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

// Of a shape without a tokenizer, which a GGUF must carry.
TEST(BenchQuantize, WritesEveryFormat) {
  const auto backend = make_backend("cpu", {.threads = 2});
  for (const Format& format : formats()) {
    const TemporaryDirectory folder, shape;
    BenchQuantizeOptions options = tiny_options(folder.path());
    Json config = read_json_file(options.shape + "/config.json");
    config["intermediate_size"] = 64;  // groups of 32, which every format has
    write_synthetic_model(config, shape.path(), backend->host_threads(), true);
    options.shape = shape.path();
    options.quantize.format = format.name;
    options.quantize.group_size = 32;
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

}  // namespace
}  // namespace halftone
