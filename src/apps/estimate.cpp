// Counting what the pipeline will hold at its peak, and timing one layer of it.
#include "apps/estimate.h"

#include <algorithm>
#include <array>
#include <chrono>

#include "apps/block_quantizer.h"
#include "base/error.h"
#include "base/file.h"
#include "base/memory_usage.h"
#include "base/progress.h"

namespace halftone {
namespace {

using Clock = std::chrono::steady_clock;

// The program itself, thread stacks, libraries' scratch, tokenizer tables.
constexpr int64_t kFixedBytes = 160 << 20;
constexpr int64_t kProbeWindows = 2;
constexpr const char* kPerLayerStages[] = {"factor",       "scales",  "solve",
                                           "load weights", "journal", "prepare quantized weights"};

struct Widths {
  int64_t widest_input = 0, widest_output = 0, stored_input = 0, block_weights = 0,
          largest_linear = 0;
};

Widths widths_of(const OpenedModel& model) {
  Widths widths;
  std::array<int64_t, kStages> outputs{};
  for (const TensorKey& key : model.tensors->keys()) {
    if (!is_linear(key.role) || key.part != Part::weight || key.layer != 0) continue;
    const auto [rows, cols] = model.tensors->shape(key);
    const Stage stage = stage_of(key.role);
    outputs[static_cast<size_t>(stage)] += rows;
    widths.widest_input = std::max(widths.widest_input, cols);
    if (stage == Stage::attn_out || stage == Stage::mlp_out)
      widths.stored_input = std::max(widths.stored_input, cols);
    widths.block_weights += rows * cols;
    widths.largest_linear = std::max(widths.largest_linear, rows * cols);
  }
  widths.widest_output = *std::max_element(outputs.begin(), outputs.end());
  return widths;
}

int64_t tied_or_own_head(const OpenedModel& model) {
  return model.config().vocab * model.config().hidden;
}

// A stage's Hessian with what an f64 factorization holds beside it, and the solver's f32 copies of
// the largest linear with its codes.
int64_t solver_bytes(const Widths& w) {
  return 16 * w.widest_input * w.widest_input + (3 * 4 + 3) * w.largest_linear;
}

}  // namespace

Estimate estimate_resources(const OpenedModel& model, const Plan& plan,
                            const Calibration& calibration, DType compute,
                            const QuantizeOptions& options) {
  const Widths w = widths_of(model);
  const int64_t element = static_cast<int64_t>(size_of(compute));
  const int64_t hidden = model.config().hidden, length = options.seq_len;
  const int64_t samples = calibration.samples.count(), held_out = calibration.held_out.count();
  const int64_t residuals = (samples + 2 * held_out) * length * hidden * 4;
  const int64_t inputs = samples * length * w.stored_input * 2;
  const int64_t window =
      length * (2 * hidden * 4 + 2 * w.widest_input * element + w.widest_output * 4);
  const int64_t blocks = 2 * w.block_weights * element;
  // At the end, when the blocks are gone: the head, twice, and tiles of logits.
  const int64_t head =
      (held_out > 0 ? 2 : 1) * tied_or_own_head(model) * element + (int64_t{128} << 20);
  const int64_t standing = kFixedBytes + 2 * window;

  Estimate estimate;
  const int64_t working = std::max(blocks + solver_bytes(w), head);
  estimate.memory_bytes = standing + residuals + std::max(inputs + blocks + solver_bytes(w), head);
  estimate.least_bytes = standing + working;
  // The journal holds codes and scales until the output is published.
  estimate.disk_bytes = plan.output_bytes * 2;
  const int64_t limit = options.max_memory > 0 ? options.max_memory : memory_limit();
  if (estimate.memory_bytes > limit) {
    if (estimate.least_bytes > limit)
      throw out_of_resources(
          "{} {}: this model needs at least {}",
          options.max_memory > 0 ? "--max-memory" : "this machine's memory limit",
          human_bytes(limit), human_bytes(estimate.least_bytes))
          .hint("raise it, or pass a smaller --seq-len.");
    estimate.spills = true;
    estimate.memory_bytes = estimate.least_bytes;
    estimate.disk_bytes += residuals + inputs;
  }
  const int64_t room = free_disk_bytes(options.output);
  if (estimate.disk_bytes > room)
    throw out_of_resources("{}: needs {} of disk, {} are free", options.output,
                           human_bytes(estimate.disk_bytes), human_bytes(room))
        .hint("free some, or pass an -o on another disk.");
  return estimate;
}

TimeEstimate estimate_time(Backend& backend, const OpenedModel& model, const Plan& plan,
                           const Calibration& calibration, DType compute) {
  Calibration few;
  few.samples =
      pick_windows(calibration.samples, 0, std::min(kProbeWindows, calibration.samples.count()), 0);
  few.held_out = few.samples.count() > 0
                     ? Windows()
                     : pick_windows(calibration.held_out, 0,
                                    std::min(kProbeWindows, calibration.held_out.count()), 0);
  const double probed = static_cast<double>(few.samples.count() + 2 * few.held_out.count());
  Profile profile;
  const auto start = Clock::now();
  quantize_blocks({.backend = backend,
                   .model = model,
                   .plan = plan,
                   .calibration = few,
                   .compute = compute,
                   .profile = &profile,
                   .layers = 1,
                   .measure_loss = false});
  const double total = std::chrono::duration<double>(Clock::now() - start).count();
  // What a layer costs however many windows there are; the rest is the windows'.
  double solving = 0;
  for (const char* stage : kPerLayerStages)
    if (const auto row = profile.rows().find(stage); row != profile.rows().end())
      solving += row->second.seconds;
  const double windows =
      static_cast<double>(calibration.samples.count() + 2 * calibration.held_out.count());
  TimeEstimate estimate;
  estimate.seconds_per_layer = solving + (probed > 0 ? (total - solving) / probed * windows : 0);
  estimate.seconds = estimate.seconds_per_layer * static_cast<double>(model.config().layers);
  return estimate;
}

}  // namespace halftone
