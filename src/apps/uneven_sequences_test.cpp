// Calibration on documents as long as they are: what is run together, and that nothing but speed
// depends on it.
#include <gmock/gmock.h>

#include <cmath>

#include "apps/block_quantizer.h"
#include "apps/estimate.h"
#include "apps/test_model_folder.h"
#include "backend/test_device.h"
#include "base/error.h"

namespace halftone {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

Windows uneven(const std::vector<int64_t>& lengths, uint64_t seed = 1) {
  Windows windows;
  Rng rng(seed);
  for (const int64_t length : lengths) {
    std::vector<int32_t> ids;
    for (int64_t i = 0; i < length; ++i) ids.push_back(static_cast<int32_t>(rng.below(26)));
    windows.append(ids);
    windows.length = std::max(windows.length, length);
  }
  return windows;
}

std::vector<std::vector<int64_t>> windows_of(const std::vector<WindowBatch>& batches) {
  std::vector<std::vector<int64_t>> all;
  for (const WindowBatch& batch : batches) all.push_back(batch.windows);
  return all;
}

TEST(CutBatches, WorkedExample) {
  // 70 is longer than a batch of 64; 50 and 14 fill one; 40, 20 and 3 another; 30 is left.
  const std::vector<WindowBatch> batches = cut_batches(uneven({3, 14, 20, 30, 40, 50, 70}), 64);
  EXPECT_THAT(windows_of(batches),
              ElementsAre(ElementsAre(6), ElementsAre(5, 1), ElementsAre(4, 2, 0), ElementsAre(3)));
  EXPECT_EQ(batches[0].tokens, 70);
  EXPECT_EQ(batches[1].tokens, 64);
  EXPECT_EQ(batches[3].tokens, 30);
}

TEST(CutBatches, EvenWindowsStayInTheirOrder) {
  Windows even{.length = 10};
  even.ids.resize(7 * 10);
  EXPECT_THAT(windows_of(cut_batches(even, 25)),
              ElementsAre(ElementsAre(0, 1), ElementsAre(2, 3), ElementsAre(4, 5), ElementsAre(6)));
  EXPECT_EQ(cut_batches(even, 5).size(), 7u);
  EXPECT_TRUE(cut_batches(Windows(), 5).empty());
}

TEST(CutBatches, EverySequenceIsInOneBatch) {
  Rng rng(5);
  std::vector<int64_t> lengths;
  for (int i = 0; i < 300; ++i) lengths.push_back(16 + static_cast<int64_t>(rng.below(600)));
  const Windows windows = uneven(lengths);
  std::vector<int> seen(lengths.size());
  int64_t before = INT64_MAX, full = 0;
  const std::vector<WindowBatch> batches = cut_batches(windows, 1000);
  for (const WindowBatch& batch : batches) {
    int64_t tokens = 0;
    for (const int64_t window : batch.windows) {
      ++seen[static_cast<size_t>(window)];
      tokens += windows.length_of(window);
    }
    EXPECT_EQ(tokens, batch.tokens);
    EXPECT_LE(tokens, 1000);
    EXPECT_LE(batch.tokens, before);
    before = batch.tokens;
    full += batch.tokens >= 950;
  }
  EXPECT_THAT(seen, ::testing::Each(1));
  EXPECT_GT(full, static_cast<int64_t>(batches.size()) * 9 / 10);
}

class UnevenSequencesTest : public ::testing::TestWithParam<const char*> {
 protected:
  UnevenSequencesTest() {
    options_.output = folder_.path("out");
    options_.group_size = 16;
    options_.samples_given = true;
    options_.samples = 7;
    options_.seq_len = 96;
    plan_ = make_plan(model_, options_);
    calibration_.samples = uneven({16, 90, 33, 70, 21, 58, 96}, 2);
    calibration_.held_out = uneven({40, 17}, 3);
  }
  // "device": memory of its own, and batches of at most 100 tokens.
  static std::unique_ptr<Backend> make() {
    if (std::string(GetParam()) == "device") return std::make_unique<TestDevice>(100);
    return make_backend(GetParam(), {.threads = 2});
  }
  BlockQuantizerInput input(Backend& backend, Journal* journal = nullptr) {
    return {.backend = backend,
            .model = model_,
            .plan = plan_,
            .calibration = calibration_,
            .journal = journal};
  }
  static std::vector<QuantizedMatrix> matrices_in(const Journal& journal) {
    std::vector<QuantizedMatrix> matrices;
    for (const std::string& name : journal.names()) {
      StageRecord record = deserialize(journal.read(name));
      for (FinishedLinear& linear : record.linears) matrices.push_back(std::move(linear.matrix));
    }
    return matrices;
  }
  std::vector<float> residual_of(Forward& forward, const Windows& windows, int64_t sequence) {
    const Batch batch = make_batch(windows.sequence(sequence), windows.length_of(sequence));
    const Tensor residual = forward.run(batch);
    return read(forward.backend(), residual);
  }
  static std::vector<float> read(Backend& backend, ConstView view) {
    HostAllocator host;
    const Tensor values(host, view.rows, view.cols, DType::f32);
    backend.download(view, values);
    return {values.row<float>(0), values.row<float>(0) + view.rows * view.cols};
  }

  TestModelFolder folder_{"qwen3"};
  OpenedModel model_ = folder_.open();
  QuantizeOptions options_;
  Plan plan_;
  Calibration calibration_;
};

// Whole blocks over batches of several sequences: each comes out as it does alone.
TEST_P(UnevenSequencesTest, ASequenceIsAsIfItWereAlone) {
  const auto backend = make();
  const auto provider = make_provider(*backend, *model_.tensors, {.compute = DType::f32});
  Forward forward(*backend, *model_.tensors, *provider, DType::f32);
  ActivationBudget budget;
  const Windows& windows = calibration_.samples;
  WindowStream stream(forward, windows, budget);
  for (int layer = 0; layer < model_.config().layers; ++layer)
    for (int64_t b = 0; b < stream.count(); ++b) stream.run_block(b, layer);
  int64_t sequences = 0;
  for (int64_t b = 0; b < stream.count(); ++b) {
    const Batch batch = stream.batch(b);
    const std::vector<float> together = read(*backend, stream.residual(b));
    const auto width = static_cast<size_t>(model_.config().hidden);
    for (size_t s = 0; s + 1 < batch.starts.size(); ++s, ++sequences) {
      const auto begin = static_cast<size_t>(batch.starts[s]);
      const auto end = static_cast<size_t>(batch.starts[s + 1]);
      int64_t index = 0;  // which one it is: all differ
      while (windows.length_of(index) != static_cast<int64_t>(end - begin)) ++index;
      const std::vector<float> single = residual_of(forward, windows, index);
      for (size_t i = 0; i < single.size(); ++i)
        ASSERT_NEAR(together[begin * width + i], single[i], 1e-4) << "sequence " << index;
    }
  }
  EXPECT_EQ(sequences, windows.count());
}

// From every place where a run could have been stopped, and wherever activations lie.
TEST_P(UnevenSequencesTest, GoesOnFromAnyStageToTheSameMatrices) {
  const auto backend = make();
  Journal whole = Journal::open(folder_.path("whole"), {{"job", "test"}}, true);
  const BlockQuantizerResult undisturbed = quantize_blocks(input(*backend, &whole));
  EXPECT_EQ(undisturbed.loss.windows, 2);
  EXPECT_EQ(undisturbed.loss.tokens, 40 + 17 - 2);
  EXPECT_EQ(undisturbed.loss.windows_text, "2 sequences of 17 to 40 tokens, 57 in all");
  const std::vector<QuantizedMatrix> expected = matrices_in(whole);
  for (size_t stages = 0; stages < whole.names().size(); ++stages) {
    SCOPED_TRACE(fmt::format("{} stages in the journal", stages));
    Journal part =
        Journal::open(folder_.path(fmt::format("part{}", stages)), {{"job", "test"}}, true);
    for (size_t i = 0; i < stages; ++i) part.append(whole.names()[i], whole.read(whole.names()[i]));
    BlockQuantizerInput run = input(*backend, &part);
    const int64_t bytes = 9000 * static_cast<int64_t>(stages % 3);
    run.activations = {bytes, bytes / 2, folder_.path("")};
    EXPECT_EQ(quantize_blocks(run).loss.kl_mean, undisturbed.loss.kl_mean);
    EXPECT_EQ(matrices_in(part), expected);
  }
}

TEST_P(UnevenSequencesTest, TheEstimateHoldsForTheLongest) {
  calibration_.samples = uneven(std::vector<int64_t>(200, 60), 4);
  calibration_.samples.append(uneven({4000}, 5).ids);
  calibration_.samples.length = options_.seq_len = 4000;
  const auto counted = [&](Backend& backend) {
    return EstimateInput{backend, model_, plan_, calibration_, DType::f32, options_};
  };
  const auto measure = [&](int64_t limit) {
    const auto backend = make();
    options_.max_memory = limit;
    const Estimate estimate = estimate_resources(counted(*backend));
    apply_limits(*backend, estimate);
    BlockQuantizerInput run = input(*backend);
    run.activations = estimate.activations;
    run.load_ahead = estimate.load_ahead;
    quantize_blocks(run);
    const bool apart = backend->place() != Place::host;
    const int64_t outside = apart ? 0 : count_memory(counted(*backend)).outside;
    const int64_t promised = (apart ? estimate.device_bytes : estimate.memory_bytes) - outside;
    EXPECT_LE(backend->allocator().peak(), promised);
    EXPECT_GE(backend->allocator().peak(), promised - (12 << 20));
    return estimate;
  };
  const Estimate ample = measure(0);
  const int64_t least = ample.device_bytes > 0 ? ample.least_device_bytes : ample.least_bytes;
  measure(least);
}

TEST_P(UnevenSequencesTest, TimeIsMeasuredOnThem) {
  const auto backend = make();
  const TimeEstimate time =
      estimate_time({*backend, model_, plan_, calibration_, DType::f32, options_});
  EXPECT_GT(time.seconds_per_layer, 0);
  calibration_.held_out = {};
  EXPECT_GT(estimate_time({*backend, model_, plan_, calibration_, DType::f32, options_}).seconds,
            0);
}

INSTANTIATE_TEST_SUITE_P(Backends, UnevenSequencesTest, ::testing::Values("device", "ref", "cpu"),
                         [](const auto& test) { return std::string(test.param); });

// From files, as the program reads them.
class WholeDocumentsTest : public ::testing::Test {
 protected:
  std::string write_lines(const std::vector<int64_t>& lengths) {
    std::string lines;
    Rng rng(9);
    for (const int64_t length : lengths) {
      std::string text;
      for (int64_t i = 0; i < length; ++i) text += static_cast<char>('a' + rng.below(26));
      lines += Json{{"text", text}}.dump() + "\n";
    }
    return folder_.write("chats.jsonl", lines);
  }
  Calibration read(int64_t samples) {
    options_.output = folder_.path("out");
    options_.group_size = 16;
    options_.seq_len = 50;
    options_.sequences = "whole";
    options_.samples = samples;
    return read_calibration(tokenizer_, make_plan(model_, options_), options_);
  }

  TestModelFolder folder_;
  OpenedModel model_ = folder_.open();
  Tokenizer tokenizer_ = Tokenizer::load(model_.checkpoint->metadata());
  QuantizeOptions options_;
};

TEST_F(WholeDocumentsTest, EachIsASequence) {
  options_.calibration = {write_lines({20, 60, 50, 3, 30, 16, 51})};
  options_.samples_given = true;
  const Calibration calibration = read(5);
  EXPECT_EQ(calibration.samples.count(), 5);
  EXPECT_EQ(calibration.held_out.count(), 1);
  EXPECT_EQ(calibration.samples.tokens() + calibration.held_out.tokens(),
            20 + 50 + 50 + 30 + 16 + 50);
  EXPECT_THAT(calibration.notes, ElementsAre("2 documents cut at 50 tokens (--seq-len)",
                                             "1 document of fewer than 16 tokens left out"));
  EXPECT_THAT(calibration.source, HasSubstr("chats.jsonl (7 documents, 216 tokens)"));
  EXPECT_THAT(windows_text(calibration.samples), HasSubstr("5 sequences of "));
}

// Where one ends is part of what was learned from.
TEST_F(WholeDocumentsTest, LengthsArePartOfTheHash) {
  options_.calibration = {write_lines({20, 30, 40})};
  options_.samples_given = true;
  const Calibration calibration = read(3);
  options_.calibration = {write_lines({30, 20, 40})};  // the same letters
  EXPECT_NE(read(3).ids_sha256, calibration.ids_sha256);
}

TEST_F(WholeDocumentsTest, TooFewSaysHowManyThereAre) {
  options_.samples_given = true;
  for (const std::vector<int64_t>& lengths : {std::vector<int64_t>{20, 3}, {4}}) {
    options_.calibration = {write_lines(lengths)};
    try {
      read(2);
      ADD_FAILURE() << "taken";
    } catch (const Error& error) {
      EXPECT_EQ(error.exit(), Exit::bad_input);
      EXPECT_THAT(error.what(), HasSubstr(lengths.size() == 2 ? "holds 1 document of" : "holds 0"));
      EXPECT_THAT(error.hint(), HasSubstr("--sequences packed"));
    }
  }
}

}  // namespace
}  // namespace halftone
