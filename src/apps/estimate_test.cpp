// What is promised before a run holds for the run.
#include "apps/estimate.h"

#include <gmock/gmock.h>

#include "apps/block_quantizer.h"
#include "apps/test_model_folder.h"
#include "base/error.h"

namespace halftone {
namespace {

using ::testing::HasSubstr;

class EstimateTest : public ::testing::Test {
 protected:
  static constexpr int64_t kLength = 64;

  EstimateTest() {
    options_.output = folder_.path("out");
    options_.group_size = 16;
    options_.calibration = {folder_.write_letters("text.txt", 320 * kLength)};
    options_.samples_given = true;
    options_.seq_len = kLength;
  }

  struct Figures {
    Estimate estimate;
    int64_t peak = 0;  // of the backend's allocator, measured
  };
  Figures of(int64_t samples, DType compute, bool run = true) {
    options_.samples = samples;
    const Plan plan = make_plan(model_, options_);
    const Calibration calibration = read_calibration(tokenizer_, plan, options_);
    Figures figures{.estimate = estimate_resources(model_, plan, calibration, compute, options_)};
    if (!run) return figures;
    const auto backend = make_backend("cpu", {.threads = 2});
    quantize_blocks({.backend = *backend,
                     .model = model_,
                     .plan = plan,
                     .calibration = calibration,
                     .compute = compute,
                     .spill_directory = figures.estimate.spills ? folder_.path("") : ""});
    figures.peak = backend->allocator().peak();
    return figures;
  }

  TestModelFolder folder_;
  OpenedModel model_ = folder_.open();
  Tokenizer tokenizer_ = Tokenizer::load(model_.checkpoint->metadata());
  QuantizeOptions options_;
};

TEST_F(EstimateTest, IsNotBelowWhatIsAllocated) {
  for (const DType compute : {DType::f32, DType::bf16}) {
    SCOPED_TRACE(name_of(compute));
    const Figures figures = of(304, compute);
    EXPECT_GE(figures.estimate.memory_bytes, figures.peak);
    EXPECT_FALSE(figures.estimate.spills);
  }
}

// On a model this small the fixed allowance (program, head, logits) would hide any error: so what
// each further window adds is compared too, where there are so many that windows are what counts.
TEST_F(EstimateTest, EachFurtherWindowIsCounted) {
  const auto windows = [](int64_t count) {
    Windows made;
    made.length = kLength;
    made.ids.assign(static_cast<size_t>(count * kLength), 1);
    return made;
  };
  const auto estimated = [&](int64_t samples, int64_t held_out) {
    const Calibration calibration{.samples = windows(samples), .held_out = windows(held_out)};
    return estimate_resources(model_, make_plan(model_, options_), calibration, DType::f32,
                              options_)
        .memory_bytes;
  };
  const auto measured = [&](int64_t samples, int64_t held_out) {
    const Calibration calibration{.samples = windows(samples), .held_out = windows(held_out)};
    const Plan plan = make_plan(model_, options_);
    const auto backend = make_backend("cpu", {.threads = 1});
    quantize_blocks(
        {.backend = *backend, .model = model_, .plan = plan, .calibration = calibration});
    return backend->allocator().peak();
  };
  constexpr int64_t kMany = 40000;
  const int64_t sample = estimated(kMany + 100, 1) - estimated(kMany, 1);
  const int64_t sample_takes = measured(210, 1) - measured(110, 1);
  EXPECT_GT(sample_takes, 100 * kLength * 32 * 4);  // residuals at least: something is measured
  EXPECT_GE(1.05 * static_cast<double>(sample),
            static_cast<double>(sample_takes));  // scratch comes once
  EXPECT_LE(sample, 2 * sample_takes);
  const int64_t held_out = estimated(kMany, 101) - estimated(kMany, 1);
  const int64_t held_out_takes = measured(10, 201) - measured(10, 101);
  EXPECT_GT(held_out_takes, 100 * kLength * 32 * 4);
  EXPECT_GE(1.05 * static_cast<double>(held_out), static_cast<double>(held_out_takes));
  EXPECT_LE(held_out, 2 * held_out_takes);
}

TEST_F(EstimateTest, UnderALimitActivationsGoToDisk) {
  const Figures free = of(304, DType::f32);
  options_.max_memory = free.estimate.memory_bytes - 1;
  const Figures tight = of(304, DType::f32);
  EXPECT_TRUE(tight.estimate.spills);
  EXPECT_LE(tight.estimate.memory_bytes, options_.max_memory);
  EXPECT_GT(tight.estimate.disk_bytes, free.estimate.disk_bytes + 304 * kLength * 32 * 4);
  EXPECT_LT(tight.peak, free.peak - 304 * kLength * 32 * 4);
}

TEST_F(EstimateTest, BelowTheLeastItIsRefusedAndTheLeastIsSaid) {
  options_.max_memory = 1 << 20;
  try {
    of(4, DType::f32, false);
    FAIL() << "accepted";
  } catch (const Error& error) {
    EXPECT_EQ(error.exit(), Exit::resources);
    EXPECT_THAT(error.what(), HasSubstr("--max-memory 1.05 MB: this model needs at least "));
  }
  options_.max_memory = 0;
  options_.max_memory = of(4, DType::f32, false).estimate.least_bytes;
  EXPECT_NO_THROW(of(4, DType::f32, false));
}

TEST_F(EstimateTest, TimeIsMeasuredOnALayer) {
  options_.samples = 304;
  const Plan plan = make_plan(model_, options_);
  const Calibration calibration = read_calibration(tokenizer_, plan, options_);
  const auto backend = make_backend("cpu", {.threads = 2});
  const TimeEstimate time = estimate_time(*backend, model_, plan, calibration, DType::f32);
  EXPECT_GT(time.seconds_per_layer, 0);
  EXPECT_DOUBLE_EQ(time.seconds, 2 * time.seconds_per_layer);
}

TEST_F(EstimateTest, ThePlanInWords) {
  options_.samples = 4;
  options_.skip = {"down_proj"};
  const std::vector<std::string> lines = plan_lines(model_, make_plan(model_, options_));
  ASSERT_EQ(lines.size(), 3u);
  EXPECT_THAT(lines[0], HasSubstr("llama, 2 layers"));
  EXPECT_THAT(lines[1], HasSubstr("12 linears → 4 bits, groups of 16, symmetric, by gptq"));
  EXPECT_THAT(lines[1], HasSubstr("2 skipped"));
}

}  // namespace
}  // namespace halftone
