// --lm-head: the head in the plan, solved behind the last block, written and read back, whether it
// was a tensor of its own or the embedding.
#include <gmock/gmock.h>

#include "apps/block_quantizer.h"
#include "apps/estimate.h"
#include "apps/evaluate.h"
#include "apps/quantize.h"
#include "apps/test_model_folder.h"
#include "base/error.h"
#include "base/file.h"

namespace halftone {
namespace {

using ::testing::HasSubstr;

constexpr TensorKey kHead{.role = Role::head}, kEmbed{.role = Role::embed};

// Vocabulary of 128, 32 wide; qwen2's head is its embedding, llama's is not.
class QuantizedHeadTest : public ::testing::TestWithParam<const char*> {
 protected:
  QuantizedHeadTest() {
    options_.output = folder_.path("out");
    options_.group_size = 16;
    options_.calibration = {folder_.write_letters("text.txt", 12 * 32)};
    options_.samples = 8;
    options_.samples_given = true;
    options_.seq_len = 32;
    options_.quiet = true;
    options_.lm_head = true;
  }
  OpenedModel open() const { return open_model(folder_.model_path(), options_.lm_head); }
  std::string refused() const {
    try {
      make_plan(open(), options_);
    } catch (const Error& error) {
      EXPECT_EQ(error.exit(), Exit::usage);
      return error.what();
    }
    ADD_FAILURE() << "planned";
    return "";
  }

  TestModelFolder folder_{GetParam()};
  std::unique_ptr<Backend> backend_ = make_backend("cpu", {.threads = 2});
  QuantizeOptions options_;
};

TEST_P(QuantizedHeadTest, IsTheLastRowOfThePlan) {
  const OpenedModel model = open();
  const Plan plan = make_plan(model, options_);
  ASSERT_EQ(plan.rows.size(), 15u);
  EXPECT_EQ(plan.rows.back().key, kHead);
  EXPECT_EQ(plan.rows.back().module, "lm_head");
  EXPECT_EQ(plan.rows.back().rows, 128);
  EXPECT_EQ(plan.rows.back().cols, 32);
  EXPECT_THAT(head_text(model, plan), HasSubstr("lm_head: 4 bits, groups of 16, symmetric"));

  options_.dynamic = {R"({"+:lm_head": {"bits": 8, "group_size": 32}})"};
  const Plan ruled = make_plan(model, options_);
  EXPECT_EQ(ruled.rows.back().grid.bits, 8);
  EXPECT_EQ(ruled.main_grid().bits, 4);  // the blocks'
}

TEST_P(QuantizedHeadTest, WhatContradictsIsRefused) {
  options_.skip = {"lm_head"};
  EXPECT_THAT(refused(), HasSubstr("--lm-head: lm_head is left dense by --skip lm_head"));
  options_.skip.clear();
  options_.dynamic = {R"({"-:lm_head": {}})"};
  EXPECT_THAT(refused(), HasSubstr("--dynamic -:lm_head"));
  options_.dynamic.clear();
  options_.lm_head = false;
  options_.dynamic = {R"({"+:lm_head": {"bits": 8}})"};
  EXPECT_THAT(refused(), HasSubstr("matches no linear"));
}

// Codes of the head, the embedding as it was, and the two told apart by the configuration.
TEST_P(QuantizedHeadTest, EveryFormatHoldsIt) {
  const OpenedModel model = open();
  HostAllocator host;
  const Tensor before(host, 128, 32, DType::f32), after(host, 128, 32, DType::f32);
  model.tensors->read(kEmbed, before);
  for (const char* format : {"gptq", "gptq_v2", "awq", "compressed-tensors", "mlx", "gguf"}) {
    SCOPED_TRACE(format);
    options_.format = format;
    options_.group_size = format == std::string("gptq") ? 16 : 32;
    options_.skip = {"down_proj"};  // 48 inputs
    options_.gguf.embedding_type = format == std::string("gguf") ? "BF16" : "";
    options_.gguf.head_type = format == std::string("gguf") ? "Q4_0" : "";
    const QuantizeOutcome outcome = quantize(*backend_, model, options_);
    EXPECT_TRUE(outcome.verified);
    const FinishedLinear& head = outcome.stages.back().linears.back();
    EXPECT_EQ(head.module, "lm_head");
    EXPECT_LT(head.report.relative_error.value(), 0.05);

    const std::string path =
        format == std::string("gguf") ? options_.output + "/model-Q4_0.gguf" : options_.output;
    const OpenedModel written = open_model(path);
    EXPECT_FALSE(written.config().tied_embeddings);
    EXPECT_TRUE(written.source->quantized(written.tensors->name(kHead)).has_value());
    written.tensors->read(kEmbed, after);
    for (int64_t i = 0; i < 128 * 32; ++i)
      ASSERT_EQ(after.row<float>(0)[i], before.row<float>(0)[i]);
    std::filesystem::remove_all(options_.output);
  }
}

TEST_P(QuantizedHeadTest, EveryMethodSolvesIt) {
  const OpenedModel model = open();
  for (const char* method : {"rtn", "gptq", "awq", "awq+gptq"}) {
    SCOPED_TRACE(method);
    options_.method = method;
    const QuantizeOutcome outcome = quantize(*backend_, model, options_);
    EXPECT_EQ(outcome.stages.back().id, kHeadStage);
    EXPECT_EQ(outcome.loss.windows, 1);
    EXPECT_GT(outcome.loss.kl_mean, 0);
    EXPECT_LT(outcome.loss.kl_mean, 0.5);
    std::filesystem::remove_all(options_.output);
  }
}

// The held-out loss is that of the network which was written.
TEST_P(QuantizedHeadTest, CountsInTheLoss) {
  const OpenedModel model = open();
  const double with = quantize(*backend_, model, options_).loss.kl_mean;
  std::filesystem::remove_all(options_.output);
  options_.lm_head = false;
  const double without = quantize(*backend_, open(), options_).loss.kl_mean;
  EXPECT_GT(with, without);
}

TEST_P(QuantizedHeadTest, GoesOnFromTheJournal) {
  const OpenedModel model = open();
  const Plan plan = make_plan(model, options_);
  const Calibration calibration =
      read_calibration(Tokenizer::load(model.checkpoint->metadata()), plan, options_);
  const auto run = [&](Journal& journal) {
    return quantize_blocks({.backend = *backend_,
                            .model = model,
                            .plan = plan,
                            .calibration = calibration,
                            .journal = &journal});
  };
  Journal whole = Journal::open(folder_.path("whole"), {{"job", "test"}}, true);
  const BlockQuantizerResult undisturbed = run(whole);
  const std::vector<std::string> names = whole.names();
  ASSERT_EQ(names.back(), "head");
  for (size_t given : {names.size() - 1, names.size()}) {
    Journal part =
        Journal::open(folder_.path("part" + std::to_string(given)), {{"job", "test"}}, true);
    for (size_t i = 0; i < given; ++i) part.append(names[i], whole.read(names[i]));
    EXPECT_EQ(run(part).loss.kl_mean, undisturbed.loss.kl_mean);
    EXPECT_EQ(deserialize(part.read("head")).linears.at(0).matrix,
              deserialize(whole.read("head")).linears.at(0).matrix);
  }
}

TEST_P(QuantizedHeadTest, IsEstimated) {
  const auto needs = [&] {
    const OpenedModel model = open();
    const Plan plan = make_plan(model, options_);
    const Calibration calibration =
        read_calibration(Tokenizer::load(model.checkpoint->metadata()), plan, options_);
    return estimate_time({*backend_, model, plan, calibration, DType::f32, options_}).seconds;
  };
  EXPECT_GT(needs(), 0);
  const OpenedModel model = open();
  const Plan with = make_plan(model, options_);
  options_.lm_head = false;
  const Plan without = make_plan(open_model(folder_.model_path()), options_);
  EXPECT_NE(with.output_bytes, without.output_bytes);
}

// What quantize says before and after is what inspect and eval say of the files.
TEST_P(QuantizedHeadTest, BitsAWeightAreThoseOfTheFiles) {
  options_.method = "rtn";
  for (const bool head : {true, false}) {
    for (const char* format : {"gptq", "gguf"}) {
      options_.lm_head = head;
      options_.format = format;
      options_.output = folder_.path(format + std::to_string(head ? 1 : 0));
      const bool gguf = options_.format == "gguf";
      options_.gguf.type = gguf ? "Q4_0" : "";
      options_.group_size = gguf ? 32 : 16;
      const Plan plan = quantize(*backend_, open(), options_).plan;
      const ModelSize size = measure_size(open_model(options_.output));
      EXPECT_DOUBLE_EQ(plan.bits_per_weight_linears, size.bits_per_weight_linears)
          << format << head;
      EXPECT_DOUBLE_EQ(plan.bits_per_weight_file, size.bits_per_weight_file) << format << head;
      EXPECT_THAT(read_file(options_.output + "/README.md"),
                  HasSubstr(gguf ? "# model in Q4_0\n" : "# model in 4 bits\n"));
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Families, QuantizedHeadTest, ::testing::Values("llama", "qwen2"));

}  // namespace
}  // namespace halftone
