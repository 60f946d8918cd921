// The search over a tiny model: what it finds, what it leaves alone, and that a run which was
// stopped in it ends with the same bytes.
#include "apps/channel_scaling.h"

#include <gmock/gmock.h>

#include "apps/quantize.h"
#include "apps/test_model_folder.h"
#include "base/file.h"

namespace halftone {
namespace {

class ChannelScalingTest : public ::testing::Test {
 protected:
  ChannelScalingTest() {
    options_.output = folder_.path("out");
    options_.method = "awq+gptq";
    options_.group_size = 16;
    options_.calibration = {folder_.write_letters("text.txt", 12 * 32)};
    options_.samples = 8;
    options_.samples_given = true;
    options_.seq_len = 32;
    options_.quiet = true;
    prepare();
  }
  void prepare() {
    plan_ = make_plan(model_, options_);
    calibration_ = read_calibration(tokenizer_, plan_, options_);
  }
  Journal journal(const std::string& name) const {
    return Journal::open(folder_.path(name), {{"job", "test"}}, true);
  }
  ChannelScalingInput input(Journal* journal) {
    return {.backend = *backend_,
            .model = model_,
            .plan = plan_,
            .calibration = calibration_,
            .journal = journal};
  }

  TestModelFolder folder_;
  OpenedModel model_ = folder_.open();
  Tokenizer tokenizer_ = Tokenizer::load(model_.checkpoint->metadata());
  std::unique_ptr<Backend> backend_ = make_backend("cpu", {.threads = 2});
  QuantizeOptions options_;
  Plan plan_;
  Calibration calibration_;
};

TEST_F(ChannelScalingTest, EveryStageLosesLess) {
  const std::vector<StageScales> stages = find_channel_scales(input(nullptr));
  EXPECT_EQ(stages.size(), 2u * kStages);
  int scaled = 0;
  for (const StageScales& stage : stages) {
    EXPECT_EQ(stage.note, "");
    EXPECT_LE(stage.scales.loss, stage.scales.plain_loss);
    EXPECT_EQ(stage.scales.factors.empty(),
              stage.scales.exponent == 0 && stage.scales.weight_exponent == 0);
    scaled += !stage.scales.factors.empty();
  }
  EXPECT_GT(scaled, 0);
}

TEST_F(ChannelScalingTest, StagesThatNobodyQuantizesAreLeftAlone) {
  options_.skip = {"mlp"};
  prepare();
  for (const StageScales& stage : find_channel_scales(input(nullptr)))
    EXPECT_THAT(stage.id.stage, testing::AnyOf(Stage::attn_in, Stage::attn_out));
}

// From every place where a run could have been stopped.
TEST_F(ChannelScalingTest, GoesOnToTheSameFactors) {
  Journal whole = journal("whole");
  const std::vector<StageScales> expected = find_channel_scales(input(&whole));
  for (size_t given = 0; given <= whole.names().size(); ++given) {
    Journal part = journal("part" + std::to_string(given));
    for (size_t i = 0; i < given; ++i) part.append(whole.names()[i], whole.read(whole.names()[i]));
    const std::vector<StageScales> got = find_channel_scales(input(&part));
    ASSERT_EQ(got.size(), expected.size());
    for (size_t i = 0; i < got.size(); ++i) {
      EXPECT_EQ(got[i].id, expected[i].id);
      EXPECT_EQ(got[i].scales.factors, expected[i].scales.factors);
      EXPECT_EQ(got[i].scales.loss, expected[i].scales.loss);
    }
    EXPECT_EQ(part.names(), whole.names());
  }
}

// Written in bf16, as its files are, the dense model is the same function up to that rounding.
TEST_F(ChannelScalingTest, ScalesOnlyWritesADenseModelThatComputesTheSame) {
  options_.method = "awq";
  options_.scales_only = true;
  options_.dtype = "f32";
  const QuantizeOutcome outcome = quantize(*backend_, model_, options_);
  EXPECT_EQ(outcome.loss.windows, 1);
  EXPECT_LT(outcome.loss.kl_mean, 3e-4);
  EXPECT_NEAR(outcome.loss.perplexity / outcome.loss.base_perplexity, 1, 1e-2);
  const OpenedModel written = open_model(options_.output);
  EXPECT_FALSE(written.quantized());
  EXPECT_NE(read_file(options_.output + "/model.safetensors"),
            read_file(folder_.model_path() + "/model.safetensors"));
  EXPECT_FALSE(std::filesystem::exists(options_.output + ".journal"));
}

}  // namespace
}  // namespace halftone
