// What is promised before a run holds for the run.
#include "apps/estimate.h"

#include <gmock/gmock.h>

#include "apps/block_quantizer.h"
#include "apps/test_model_folder.h"
#include "backend/test_device.h"
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
    int64_t outside = 0;         // of the estimate: the program
    int64_t peak = 0, host = 0;  // of the allocators, measured
    HeldOutLoss loss;
  };
  Figures of(Backend& backend, int64_t samples, DType compute, bool run = true) {
    options_.samples = samples;
    const Plan plan = make_plan(model_, options_);
    const Calibration calibration = read_calibration(tokenizer_, plan, options_);
    const EstimateInput input{backend, model_, plan, calibration, compute, options_};
    Figures figures{.estimate = estimate_resources(input), .outside = count_memory(input).outside};
    if (!run) return figures;
    apply_limits(backend, figures.estimate);
    figures.loss = quantize_blocks({.backend = backend,
                                    .model = model_,
                                    .plan = plan,
                                    .calibration = calibration,
                                    .compute = compute,
                                    .activations = figures.estimate.activations,
                                    .load_ahead = figures.estimate.load_ahead})
                       .loss;
    figures.peak = backend.allocator().peak();
    figures.host = backend.host_allocator().peak();
    return figures;
  }
  Figures of_cpu(int64_t samples, DType compute, bool run = true) {
    const auto backend = make_backend("cpu", {.threads = 2});
    return of(*backend, samples, compute, run);
  }

  TestModelFolder folder_;
  OpenedModel model_ = folder_.open();
  Tokenizer tokenizer_ = Tokenizer::load(model_.checkpoint->metadata());
  QuantizeOptions options_;
};

// What is not the program's own share: neither exceeded nor far above. On a model this small tiles
// of fixed size are most of it.
TEST_F(EstimateTest, IsNotBelowWhatIsAllocated) {
  for (const DType compute : {DType::f32, DType::bf16})
    for (const char* inputs : {"quantized", "original"}) {
      SCOPED_TRACE(fmt::format("{} {}", name_of(compute), inputs));
      options_.calib_inputs = inputs;
      const Figures figures = of_cpu(304, compute);
      EXPECT_GE(figures.estimate.memory_bytes - figures.outside, figures.peak);
      EXPECT_LE(figures.estimate.memory_bytes - figures.outside, figures.peak + (8 << 20));
      EXPECT_FALSE(figures.estimate.spills());
    }
}

// Inputs of the original's linears are looked at as they pass.
TEST_F(EstimateTest, OfTheOriginalsInputsNoneAreStored) {
  options_.samples = 304;
  const auto backend = make_backend("cpu", {.threads = 1});
  const auto need = [&](const char* inputs) {
    options_.calib_inputs = inputs;
    const Plan plan = make_plan(model_, options_);
    const Calibration calibration = read_calibration(tokenizer_, plan, options_);
    return count_memory({*backend, model_, plan, calibration, DType::f32, options_});
  };
  EXPECT_GT(need("quantized").inputs, 304 * kLength * 32 * 2);
  EXPECT_EQ(need("original").inputs + need("original").input_copies, 0);
  EXPECT_EQ(need("original").residuals, need("quantized").residuals);
}

// So what each further window adds is compared too.
TEST_F(EstimateTest, EachFurtherWindowIsCounted) {
  const auto windows = [](int64_t count) {
    Windows made;
    made.length = kLength;
    made.ids.assign(static_cast<size_t>(count * kLength), 1);
    return made;
  };
  const auto backend = make_backend("cpu", {.threads = 1});
  const Plan plan = make_plan(model_, options_);
  const auto estimated = [&](int64_t samples, int64_t held_out) {
    const Calibration calibration{.samples = windows(samples), .held_out = windows(held_out)};
    return estimate_resources({*backend, model_, plan, calibration, DType::f32, options_})
        .memory_bytes;
  };
  const auto measured = [&](int64_t samples, int64_t held_out) {
    const Calibration calibration{.samples = windows(samples), .held_out = windows(held_out)};
    const auto fresh = make_backend("cpu", {.threads = 1});
    quantize_blocks({.backend = *fresh, .model = model_, .plan = plan, .calibration = calibration});
    return fresh->allocator().peak();
  };
  constexpr int64_t kMany = 40000;
  const auto sample = static_cast<double>(estimated(kMany + 128, 1) - estimated(kMany, 1));
  const auto sample_takes = static_cast<double>(measured(640, 1) - measured(512, 1));
  EXPECT_GT(sample_takes, 128 * kLength * 32 * 4);  // residuals at least: something is measured
  EXPECT_NEAR(sample, sample_takes, 0.1 * sample_takes);
  const auto held_out = static_cast<double>(estimated(kMany, 129) - estimated(kMany, 1));
  const auto held_out_takes = static_cast<double>(measured(32, 640) - measured(32, 512));
  EXPECT_GT(held_out_takes, 128 * kLength * 32 * 4);
  EXPECT_NEAR(held_out, held_out_takes, 0.1 * held_out_takes);
}

TEST_F(EstimateTest, UnderALimitActivationsGoToDisk) {
  for (const char* inputs : {"quantized", "original"}) {
    SCOPED_TRACE(inputs);
    options_.calib_inputs = inputs;
    options_.max_memory = 0;
    const Figures free = of_cpu(304, DType::f32);
    for (const int64_t limit : {free.estimate.memory_bytes - 1, free.estimate.least_bytes}) {
      options_.max_memory = limit;
      const Figures tight = of_cpu(304, DType::f32);
      EXPECT_TRUE(tight.estimate.spills());
      EXPECT_LE(tight.estimate.memory_bytes, limit);
      EXPECT_LE(tight.peak, limit - tight.outside);
      EXPECT_GE(tight.estimate.disk_bytes, free.estimate.disk_bytes + tight.estimate.spilled_bytes);
      EXPECT_EQ(tight.loss.kl_mean, free.loss.kl_mean);
    }
  }
}

// A device of its own: first its memory, then the host's, then the disk.
TEST_F(EstimateTest, ADevicesMemoryOfTheOriginalsInputs) {
  options_.calib_inputs = "original";
  TestDevice device;
  const Figures free = of(device, 304, DType::f32);
  EXPECT_GE(free.estimate.device_bytes, free.peak);
  options_.max_memory = free.estimate.least_device_bytes;
  TestDevice small;
  const Figures least = of(small, 304, DType::f32);
  EXPECT_LE(least.peak, options_.max_memory);
  EXPECT_GT(least.estimate.activations.host_bytes, 0);
  EXPECT_EQ(least.loss.kl_mean, free.loss.kl_mean);
}

TEST_F(EstimateTest, ADevicesLimitAndTheHosts) {
  TestDevice device;
  const Figures free = of(device, 304, DType::f32);
  EXPECT_GE(free.estimate.device_bytes, free.peak);
  EXPECT_EQ(free.estimate.activations.host_bytes, 0);
  EXPECT_GE(free.estimate.memory_bytes - free.outside, free.host);

  options_.max_memory = free.estimate.least_device_bytes;
  TestDevice small;
  const Figures on_host = of(small, 304, DType::f32);
  EXPECT_LE(on_host.peak, options_.max_memory);
  EXPECT_GT(on_host.estimate.activations.host_bytes, 304 * kLength * 32 * 4);
  EXPECT_FALSE(on_host.estimate.spills());
  EXPECT_GE(on_host.estimate.memory_bytes - on_host.outside, on_host.host);
  EXPECT_EQ(on_host.loss.kl_mean, free.loss.kl_mean);

  options_.max_host_memory = on_host.estimate.least_bytes;
  TestDevice smaller;
  const Figures on_disk = of(smaller, 304, DType::f32);
  EXPECT_TRUE(on_disk.estimate.spills());
  EXPECT_LE(on_disk.host, options_.max_host_memory - on_disk.outside);
  EXPECT_EQ(on_disk.loss.kl_mean, free.loss.kl_mean);
}

TEST_F(EstimateTest, BelowTheLeastItIsRefusedAndTheLeastIsSaid) {
  options_.max_memory = 1 << 20;
  try {
    of_cpu(4, DType::f32, false);
    FAIL() << "accepted";
  } catch (const Error& error) {
    EXPECT_EQ(error.exit(), Exit::resources);
    EXPECT_THAT(error.what(), HasSubstr("--max-memory 1.05 MB: this model needs at least "));
  }
  options_.max_memory = 0;
  options_.max_memory = of_cpu(4, DType::f32, false).estimate.least_bytes;
  EXPECT_NO_THROW(of_cpu(4, DType::f32, false));
}

TEST_F(EstimateTest, TimeIsMeasuredOnALayer) {
  options_.samples = 304;
  const Plan plan = make_plan(model_, options_);
  const Calibration calibration = read_calibration(tokenizer_, plan, options_);
  const auto backend = make_backend("cpu", {.threads = 2});
  const TimeEstimate time =
      estimate_time({*backend, model_, plan, calibration, DType::f32, options_});
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

// All ids of a long text are held before the first window is picked.
TEST_F(EstimateTest, TheTextsTokensAreCounted) {
  const auto backend = make_backend("cpu", {.threads = 1});
  options_.samples = 4;
  const Plan plan = make_plan(model_, options_);
  Calibration calibration = read_calibration(tokenizer_, plan, options_);
  const int64_t picked = calibration.samples.count() + calibration.held_out.count();
  EXPECT_EQ(calibration.id_bytes, (320 + picked) * kLength * 4);
  const EstimateInput input{*backend, model_, plan, calibration, DType::f32, options_};
  const int64_t few = estimate_resources(input).memory_bytes;
  calibration.id_bytes = 2 * few;
  EXPECT_EQ(estimate_resources(input).memory_bytes, 2 * few + count_memory(input).outside);
  options_.max_memory = 2 * few;
  try {
    estimate_resources(input);
    ADD_FAILURE() << "they do not fit";
  } catch (const Error& error) {
    EXPECT_EQ(error.exit(), Exit::resources);
    EXPECT_THAT(error.what(), ::testing::HasSubstr("tokens of the calibration text"));
  }
}

// A comparison keeps the original's weights while it quantizes, and measures afterwards.
TEST_F(EstimateTest, OthersMemoryIsCountedAndLimitsComeBack) {
  const auto backend = make_backend("cpu", {.threads = 2});
  const int64_t before = of(*backend, 2, DType::f32, false).estimate.least_bytes;
  const int64_t limit = backend->allocator().limit();
  const Tensor held = backend->allocate(1, int64_t{1} << 20, DType::u8);
  {
    const LimitScope scope(*backend);
    const Figures figures = of(*backend, 2, DType::f32, false);
    EXPECT_EQ(figures.estimate.least_bytes, before + held.bytes());
    apply_limits(*backend, figures.estimate);
    EXPECT_NE(backend->allocator().limit(), limit);
  }
  EXPECT_EQ(backend->allocator().limit(), limit);
}

}  // namespace
}  // namespace halftone
