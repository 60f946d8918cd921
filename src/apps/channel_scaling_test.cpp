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
  ChannelScalingInput input(Journal* journal, std::vector<const Plan*> later = {}) {
    return {.backend = *backend_,
            .model = model_,
            .plan = plan_,
            .calibration = calibration_,
            .journal = journal,
            .later = std::move(later)};
  }
  Plan plan_for(const std::string& method, int bits, const std::string& skip = "") const {
    QuantizeOptions options = options_;
    options.method = method;
    options.bits = bits;
    if (!skip.empty()) options.skip = {skip};
    return make_plan(model_, options);
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
  const std::vector<StageScales> stages = find_channel_scales(input(nullptr)).stages;
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
  for (const StageScales& stage : find_channel_scales(input(nullptr)).stages)
    EXPECT_THAT(stage.id.stage, testing::AnyOf(Stage::attn_in, Stage::attn_out));
}

void expect_equal(const std::vector<StageScales>& got, const std::vector<StageScales>& expected) {
  ASSERT_EQ(got.size(), expected.size());
  for (size_t i = 0; i < got.size(); ++i) {
    EXPECT_EQ(got[i].id, expected[i].id);
    EXPECT_EQ(got[i].scales.factors, expected[i].scales.factors);
    EXPECT_EQ(got[i].scales.loss, expected[i].scales.loss);
  }
}

// From every place where a run could have been stopped.
TEST_F(ChannelScalingTest, GoesOnToTheSameFactors) {
  Journal whole = journal("whole");
  const std::vector<StageScales> expected = find_channel_scales(input(&whole)).stages;
  for (size_t given = 0; given <= whole.names().size(); ++given) {
    Journal part = journal("part" + std::to_string(given));
    for (size_t i = 0; i < given; ++i) part.append(whole.names()[i], whole.read(whole.names()[i]));
    const std::vector<StageScales> got = find_channel_scales(input(&part)).stages;
    expect_equal(got, expected);
    EXPECT_EQ(part.names(), whole.names());
  }
}

// One pass for four plans: what each then takes from the journal is what it finds by itself.
TEST_F(ChannelScalingTest, PlansToComeFindTheirFactorsInTheJournal) {
  const std::vector<Plan> plans = {plan_for("awq", 4), plan_for("awq+gptq", 4), plan_for("awq", 8),
                                   plan_for("awq", 4, "mlp")};
  std::vector<std::vector<StageScales>> alone;
  for (const Plan& plan : plans) {
    plan_ = plan;
    alone.push_back(find_channel_scales(input(nullptr)).stages);
  }
  Journal shared = journal("shared");
  plan_ = plans[0];
  const FoundScales first = find_channel_scales(input(&shared, {&plans[1], &plans[2], &plans[3]}));
  expect_equal(first.stages, alone[0]);
  EXPECT_GT(first.seconds_later, 0);
  EXPECT_EQ(first.seconds_before, 0);
  // Both methods want the same factors of one grid; of the last plan's stages all are the first's.
  EXPECT_EQ(shared.names().size(), 2 * alone[0].size());
  const int64_t bytes = shared.bytes();
  for (size_t i = 1; i < plans.size(); ++i) {
    plan_ = plans[i];
    const FoundScales later = find_channel_scales(input(&shared));
    expect_equal(later.stages, alone[i]);
    EXPECT_GT(later.seconds_before, 0);
  }
  EXPECT_EQ(shared.bytes(), bytes);
}

// The memory is planned for the plan at hand: a stage that it leaves dense waits for another's.
TEST_F(ChannelScalingTest, StagesThatThePlanAtHandLeavesDenseAreNotSearchedForOthers) {
  const Plan whole = plan_for("awq", 4);
  plan_ = plan_for("awq", 8, "mlp");
  Journal shared = journal("shared");
  find_channel_scales(input(&shared, {&whole}));
  EXPECT_THAT(shared.names(), testing::Each(testing::HasSubstr("attn")));
  const std::vector<std::string> before = shared.names();
  plan_ = whole;
  expect_equal(find_channel_scales(input(&shared)).stages,
               find_channel_scales(input(nullptr)).stages);
  EXPECT_EQ(shared.names().size(), before.size() + kStages);  // of two layers' MLPs
}

// Nor is what was found of another text, or with other damping, taken for it.
TEST_F(ChannelScalingTest, FactorsOfOtherInputsAreNotShared) {
  Journal shared = journal("shared");
  plan_ = plan_for("awq", 4);
  Plan damped = plan_;
  damped.solver.damping = 0.1;
  const std::vector<StageScales> found = find_channel_scales(input(&shared, {&damped})).stages;
  EXPECT_EQ(shared.names().size(), found.size());
  calibration_.ids_sha256 = "another";
  find_channel_scales(input(&shared));
  EXPECT_EQ(shared.names().size(), 2 * found.size());
}

// What the quantized model is held against is the scaled one: as good as the original itself.
TEST_F(ChannelScalingTest, TheScaledModelHasTheOriginalsFigures) {
  options_.dtype = "f32";
  const QuantizeOutcome scaled = quantize(*backend_, model_, options_);
  options_.method = "gptq";
  options_.output = folder_.path("unscaled");
  const QuantizeOutcome unscaled = quantize(*backend_, model_, options_);
  ASSERT_FALSE(scaled.scaling.empty());
  ASSERT_TRUE(unscaled.scaling.empty());
  EXPECT_EQ(scaled.loss.windows, 1);
  EXPECT_NEAR(scaled.loss.base_perplexity / unscaled.loss.base_perplexity, 1, 1e-5);
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
