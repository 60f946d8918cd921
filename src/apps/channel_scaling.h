// The transform of a method, over a whole model: the factors of each stage's input channels, found
// on the dense model stage by stage.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "apps/calibration.h"
#include "apps/scaled_model.h"
#include "io/journal.h"
#include "model/activation_store.h"

namespace halftone {

struct ChannelScalingInput {
  Backend& backend;
  const OpenedModel& model;
  const Plan& plan;  // its method has a transform
  const Calibration& calibration;
  Journal* journal = nullptr;  // null: nothing is kept
  DType compute = DType::f32;
  ActivationBudget activations = {};
  Profile* profile = nullptr;
  int64_t layers = 0;  // only the first so many; 0: all
  // Of quantizations to come, of the same model and calibration: the factors of the stages that
  // `plan` quantizes are found for them in the same pass, and are in the journal when they ask.
  std::vector<const Plan*> later = {};
  // Called between two windows (may be empty): of the whole work.
  std::function<void(double fraction, const StageId&)> on_step = {};
};

struct FoundScales {
  std::vector<StageScales> stages;
  double seconds_before = 0;  // that those found in the journal took
  double seconds_later = 0;   // of this pass, for input.later
};
// Stages with at least one linear that is to be quantized, in order. Those found in the journal are
// taken from there. Throws Error(interrupted) between two steps.
FoundScales find_channel_scales(const ChannelScalingInput& input);

// The model whose blocks are quantized, for a method with a transform; without one nothing.
struct TransformedModel {
  std::optional<OpenedModel> model;
  std::string text;                              // what it came to, for people
  double seconds_before = 0, seconds_later = 0;  // as FoundScales has them
};
// Shows its progress unless `quiet`.
TransformedModel transform_model(const ChannelScalingInput& input, bool quiet);

// Rows of a linear that a search looks at.
inline constexpr int64_t kSampledRows = 128;

}  // namespace halftone
