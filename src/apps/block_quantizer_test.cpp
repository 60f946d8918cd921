// The heart of a quantization on a tiny model: what is in the journal is gone on from, to the same
// matrices.
#include "apps/block_quantizer.h"

#include <gmock/gmock.h>

#include "apps/test_model_folder.h"
#include "base/error.h"

namespace halftone {
namespace {

class BlockQuantizerTest : public ::testing::Test {
 protected:
  BlockQuantizerTest() {
    options_.output = folder_.path("out");
    options_.group_size = 16;
    options_.calibration = {folder_.write_letters("text.txt", 12 * 32)};
    options_.samples = 8;
    options_.samples_given = true;
    options_.seq_len = 32;
    plan_ = make_plan(model_, options_);
    calibration_ = read_calibration(tokenizer_, plan_, options_);
  }

  Journal journal(const std::string& name) const {
    return Journal::open(folder_.path(name), {{"job", "test"}}, true);
  }
  BlockQuantizerInput input(Journal* journal) {
    return {.backend = *backend_,
            .model = model_,
            .plan = plan_,
            .calibration = calibration_,
            .journal = journal};
  }
  static std::vector<FinishedLinear> linears_in(const Journal& journal) {
    std::vector<FinishedLinear> linears;
    for (const std::string& name : journal.names()) {
      StageRecord record = deserialize(journal.read(name));
      EXPECT_EQ(record_name(record.id), name);
      for (FinishedLinear& linear : record.linears) linears.push_back(std::move(linear));
    }
    return linears;
  }

  void goes_on_from_any_stage();

  TestModelFolder folder_;
  OpenedModel model_ = folder_.open();
  Tokenizer tokenizer_ = Tokenizer::load(model_.checkpoint->metadata());
  std::unique_ptr<Backend> backend_ = make_backend("cpu", {.threads = 2});
  QuantizeOptions options_;
  Plan plan_;
  Calibration calibration_;
};

TEST_F(BlockQuantizerTest, TheJournalHoldsEveryRowOfThePlan) {
  Journal kept = journal("journal");
  const BlockQuantizerResult result = quantize_blocks(input(&kept));
  EXPECT_EQ(result.stages.size(), 2u * kStages);
  const std::vector<FinishedLinear> linears = linears_in(kept);
  ASSERT_EQ(linears.size(), plan_.rows.size());
  for (size_t i = 0; i < linears.size(); ++i) {
    EXPECT_EQ(linears[i].module, plan_.rows[i].module);
    EXPECT_EQ(linears[i].matrix.rows, plan_.rows[i].rows);
    EXPECT_EQ(linears[i].matrix.cols, plan_.rows[i].cols);
    ASSERT_TRUE(linears[i].report.relative_error.has_value());
    EXPECT_GT(*linears[i].report.relative_error, 0);
    EXPECT_LT(*linears[i].report.relative_error, 0.05);  // four bits
  }
  for (const StageRecord& stage : result.stages) {
    EXPECT_FALSE(stage.loudest.empty());
    EXPECT_GE(stage.loudest.front().rms, stage.typical_rms);
    for (const FinishedLinear& linear : stage.linears) EXPECT_TRUE(linear.matrix.codes.empty());
  }
  EXPECT_EQ(result.loss.windows, 1);
  EXPECT_EQ(result.loss.tokens, 31);
  EXPECT_GT(result.loss.kl_mean, 0);
  EXPECT_LT(result.loss.kl_mean, 0.5);
}

// Where a norm divides; o and down take what no norm made.
TEST_F(BlockQuantizerTest, TokensWeighInTheLinearsBehindANorm) {
  const auto loudest = [&](TokenWeights weights) {
    plan_.solver.tokens = weights;
    const BlockQuantizerResult result = quantize_blocks(input(nullptr));
    std::vector<double> rms;
    for (int s = 0; s < kStages; ++s)  // of the first layer: what comes later differs anyway
      rms.push_back(result.stages[static_cast<size_t>(s)].loudest.front().rms);
    return rms;
  };
  const std::vector<double> alike = loudest(TokenWeights::none),
                            weighed = loudest(TokenWeights::residual);
  EXPECT_NE(weighed[static_cast<size_t>(Stage::attn_in)],
            alike[static_cast<size_t>(Stage::attn_in)]);
  EXPECT_NE(weighed[static_cast<size_t>(Stage::mlp_in)], alike[static_cast<size_t>(Stage::mlp_in)]);
  const auto out = static_cast<size_t>(Stage::attn_out);
  EXPECT_NEAR(weighed[out], alike[out], 0.05 * alike[out]);  // through other codes of v
}

// However coarse what lies before is, and not so where the quantized network's are asked for.
TEST_F(BlockQuantizerTest, TheOriginalsInputsKnowNothingOfCodes) {
  const auto rms_of_inputs = [&](int bits, CalibrationInputs inputs) {
    for (PlanRow& row : plan_.rows) row.grid.bits = bits;
    plan_.solver.fit.grid.bits = bits;
    plan_.solver.inputs = inputs;
    std::vector<double> rms;
    for (const StageRecord& stage : quantize_blocks(input(nullptr)).stages)
      rms.push_back(stage.loudest.front().rms);
    return rms;
  };
  const std::vector<double> fine = rms_of_inputs(8, CalibrationInputs::original),
                            coarse = rms_of_inputs(2, CalibrationInputs::original);
  ASSERT_EQ(fine.size(), 2u * kStages);
  EXPECT_EQ(fine, coarse);
  const std::vector<double> followed = rms_of_inputs(2, CalibrationInputs::quantized);
  EXPECT_EQ(followed[0], fine[0]);  // of what nothing lies before
  for (size_t s = 1; s < followed.size(); ++s) EXPECT_NE(followed[s], fine[s]) << s;
  // Stored for the next pass in bf16, else the same while all weights are fine.
  const std::vector<double> nearly = rms_of_inputs(8, CalibrationInputs::quantized);
  for (size_t s = 0; s < nearly.size(); ++s) EXPECT_NEAR(nearly[s], fine[s], 0.02 * fine[s]) << s;
}

TEST_F(BlockQuantizerTest, GoesOnFromAnyStageOfTheOriginalsInputs) {
  plan_.solver.inputs = CalibrationInputs::original;
  goes_on_from_any_stage();
}

// From every place where a run could have been stopped.
TEST_F(BlockQuantizerTest, GoesOnFromAnyStageToTheSameMatrices) { goes_on_from_any_stage(); }

void BlockQuantizerTest::goes_on_from_any_stage() {
  Journal whole = journal("whole");
  const BlockQuantizerResult undisturbed = quantize_blocks(input(&whole));
  const std::vector<FinishedLinear> expected = linears_in(whole);
  for (size_t stages = 0; stages <= whole.names().size(); ++stages) {
    SCOPED_TRACE(fmt::format("{} stages in the journal", stages));
    Journal part = journal(fmt::format("part{}", stages));
    size_t given = 0;
    for (size_t i = 0; i < stages; ++i) {
      const std::vector<std::byte> bytes = whole.read(whole.names()[i]);
      part.append(whole.names()[i], bytes);
      given += deserialize(bytes).linears.size();
    }
    size_t resumed = 0, seen = 0;
    double last = 0;
    BlockQuantizerInput run = input(&part);
    run.on_linear = [&](const FinishedLinear& linear, double fraction, bool from_journal) {
      EXPECT_EQ(linear.module, plan_.rows[seen++].module);
      EXPECT_GE(fraction, last);
      EXPECT_EQ(from_journal, resumed < given);
      last = fraction;
      resumed += from_journal;
    };
    const BlockQuantizerResult result = quantize_blocks(run);
    EXPECT_EQ(resumed, given);
    EXPECT_EQ(seen, plan_.rows.size());
    EXPECT_EQ(last, 1);
    const std::vector<FinishedLinear> got = linears_in(part);
    ASSERT_EQ(got.size(), expected.size());
    for (size_t i = 0; i < got.size(); ++i) {
      EXPECT_EQ(got[i].matrix, expected[i].matrix) << got[i].module;
      EXPECT_EQ(got[i].report.relative_error, expected[i].report.relative_error) << got[i].module;
    }
    EXPECT_EQ(result.loss.kl_mean, undisturbed.loss.kl_mean);
    EXPECT_EQ(result.loss.perplexity, undisturbed.loss.perplexity);
  }
}

TEST_F(BlockQuantizerTest, ActivationsOnDiskChangeNothing) {
  Journal memory = journal("memory"), disk = journal("disk");
  const BlockQuantizerResult held = quantize_blocks(input(&memory));
  BlockQuantizerInput run = input(&disk);
  run.activations = {.device_bytes = 5000, .host_bytes = 0, .spill_directory = folder_.path("")};
  EXPECT_EQ(quantize_blocks(run).loss.kl_mean, held.loss.kl_mean);
  const std::vector<FinishedLinear> a = linears_in(memory), b = linears_in(disk);
  ASSERT_EQ(a.size(), b.size());
  for (size_t i = 0; i < a.size(); ++i) EXPECT_EQ(a[i].matrix, b[i].matrix) << a[i].module;
}

// A probe: nothing is kept, nothing is measured, and only what was asked is done.
TEST_F(BlockQuantizerTest, AProbeStopsAfterItsLayers) {
  BlockQuantizerInput probe = input(nullptr);
  probe.layers = 1;
  probe.measure_loss = false;
  std::vector<std::string> modules;
  double last = 0;
  probe.on_linear = [&](const FinishedLinear& linear, double fraction, bool) {
    modules.push_back(linear.module);
    last = fraction;
  };
  const BlockQuantizerResult result = quantize_blocks(probe);
  EXPECT_EQ(result.stages.size(), static_cast<size_t>(kStages));
  for (const StageRecord& stage : result.stages) EXPECT_EQ(stage.id.layer, 0);
  EXPECT_EQ(modules.size(), 7u);
  EXPECT_EQ(last, 1);
  EXPECT_EQ(result.loss.windows, 0);
}

TEST_F(BlockQuantizerTest, RoundingNeedsNoSamplesAndMeasuresNoLayerError) {
  options_.method = "rtn";
  plan_ = make_plan(model_, options_);
  calibration_ = read_calibration(tokenizer_, plan_, options_);
  Journal kept = journal("rtn");
  const BlockQuantizerResult result = quantize_blocks(input(&kept));
  for (const FinishedLinear& linear : linears_in(kept))
    EXPECT_FALSE(linear.report.relative_error.has_value());
  EXPECT_EQ(result.loss.windows, 1);
  EXPECT_GT(result.loss.kl_mean, 0);
}

TEST_F(BlockQuantizerTest, SkippedLinearsAreNotInTheJournal) {
  options_.skip = {"mlp", "o_proj"};
  plan_ = make_plan(model_, options_);
  Journal kept = journal("skipped");
  quantize_blocks(input(&kept));
  EXPECT_EQ(kept.names(), (std::vector<std::string>{"layer 0 attn_in", "layer 1 attn_in"}));
  EXPECT_EQ(linears_in(kept).size(), 6u);
}

}  // namespace
}  // namespace halftone
