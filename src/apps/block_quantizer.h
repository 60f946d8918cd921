// The heart of a quantization: block by block and stage by stage over all windows — accumulate
// Hessians, solve, go on through the quantized weights (design §3, seam 3).
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "apps/calibration.h"
#include "apps/quantize.h"
#include "apps/window_stream.h"
#include "io/journal.h"
#include "model/overlay.h"
#include "model/weight_reader.h"

namespace halftone {

struct BlockQuantizerInput {
  Backend& backend;
  const OpenedModel& model;
  const Plan& plan;
  const Calibration& calibration;
  Journal* journal = nullptr;  // null: nothing is kept (a probe)
  DType compute = DType::f32;
  ActivationBudget activations;  // where they lie
  bool load_ahead = true;        // on a device: original weights, which stay for a layer
  Profile* profile = nullptr;
  int64_t layers = 0;        // only the first so many; 0: all
  bool measure_loss = true;  // on the held-out windows, at the end
  // Called with every stage and its matrices (may be empty), in order, when the journal has it; on
  // another thread.
  std::function<void(StageRecord)> on_kept;
  // Called after each linear (may be empty); `fraction` of the whole work that is done.
  std::function<void(const FinishedLinear&, double fraction, bool resumed)> on_linear;
  // Called before a stage's Hessian is filled, and again before it is solved (may be empty): for
  // work beside the long passes over the windows.
  std::function<void(const StageId&, bool solving)> on_stage;
  // Called between two windows (may be empty): progress within a stage.
  std::function<void(double fraction, const StageId&)> on_step;
};

struct BlockQuantizerResult {
  std::vector<StageRecord> stages;  // without their matrices: those are in the journal
  HeldOutLoss loss;
  double saving_seconds = 0;  // of the thread that keeps finished stages
  double seconds_before = 0;  // that the stages found in the journal took the runs before this one
};

// Throws Error(interrupted) between two steps; what is finished is in the journal.
BlockQuantizerResult quantize_blocks(const BlockQuantizerInput& input);

}  // namespace halftone
