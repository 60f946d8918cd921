// Each term is an allocation of block_quantizer, held_out_pass, window_stream, forward, hessian,
// factor or gptq; estimate_test holds the sum against what the allocators report.
#include "apps/memory_estimate.h"

#include <algorithm>
#include <array>
#include <map>
#include <numeric>
#include <set>
#include <utility>

#include "apps/channel_scaling.h"
#include "apps/linear_solver.h"
#include "apps/output_stream.h"
#include "apps/token_scores.h"
#include "apps/window_stream.h"
#include "model/forward.h"
#include "quant/factor.h"
#include "quant/gptq.h"

namespace halftone {
namespace {

// Measured: code, libraries' tables, thread stacks, what malloc keeps of the tokenizer's tables.
constexpr int64_t kProgram = int64_t{56} << 20;
constexpr int64_t kHessianTokens = 2048;      // turned at once, as backend/cpu has it
constexpr int64_t kTiles = int64_t{4} << 20;  // scratch of tiles, all threads
constexpr int64_t kFactorBlock = Factor::kBlock;
constexpr int64_t kSpan = 1024;       // columns whose errors go on together, as gptq has it
constexpr int64_t kParkedRows = 256;  // gathered at a time, as factor has it

struct StageShape {
  int64_t inputs = 0, outputs = 0, weights = 0, largest = 0, largest_rows = 0;
  int64_t codes = 0;  // bytes of the quantized ones in memory, with scales and zeros
};
using Stages = std::array<StageShape, kStages>;

// A code, and of each group a scale and a zero or an offset.
int64_t code_bytes(const PlanRow& row) {
  if (row.method.empty()) return 0;
  const int64_t weights = row.rows * row.cols;
  const int64_t a_group = row.grid.offsets ? 8 : 5;
  return weights + a_group * weights / (row.grid.group_size > 0 ? row.grid.group_size : row.cols);
}

Stages stages_of(const OpenedModel& model, const Plan& plan) {
  Stages stages{};
  // Layers may differ in their grids.
  std::map<std::pair<int, Stage>, int64_t> codes;
  for (const PlanRow& row : plan.rows)
    if (is_linear(row.key.role)) codes[{row.key.layer, stage_of(row.key.role)}] += code_bytes(row);
  for (const auto& [place, bytes] : codes) {
    StageShape& stage = stages[static_cast<size_t>(place.second)];
    stage.codes = std::max(stage.codes, bytes);
  }
  for (const TensorKey& key : model.tensors->keys()) {
    if (!is_linear(key.role) || key.part != Part::weight || key.layer != 0) continue;
    const auto [rows, cols] = model.tensors->shape(key);
    StageShape& stage = stages[static_cast<size_t>(stage_of(key.role))];
    stage.inputs = std::max(stage.inputs, cols);
    stage.outputs += rows;
    stage.weights += rows * cols;
    stage.largest = std::max(stage.largest, rows * cols);
    stage.largest_rows = std::max(stage.largest_rows, rows);
  }
  return stages;
}

// Norms and biases: all layers' are resident.
int64_t vector_bytes(const OpenedModel& model) {
  int64_t values = 0;
  for (const TensorKey& key : model.tensors->keys()) {
    const bool product = key.role == Role::head || key.role == Role::embed || is_linear(key.role);
    if (product && key.part != Part::bias) continue;
    const auto [rows, cols] = model.tensors->shape(key);
    values += rows * cols;
  }
  return values * 4;
}

class Counter {
 public:
  explicit Counter(const EstimateInput& input)
      : in_(input),
        config_(input.model.config()),
        stages_(stages_of(input.model, input.plan)),
        x_(static_cast<int64_t>(size_of(input.compute))),
        // bf16 that is not multiplied as such is multiplied as f32.
        weight_(input.compute == DType::bf16 && input.backend.info().native_bf16 ? 2 : 4),
        samples_(input.calibration.samples.tokens()),
        held_out_(input.calibration.held_out.tokens()),
        apart_(input.backend.place() != Place::host) {
    batch_ = largest_batch(input.calibration.samples);
    held_out_batch_ = largest_batch(input.calibration.held_out);
    const int64_t heads = config_.heads + config_.kv_heads;
    attention_ = heads * config_.head_dim * x_ + config_.hidden * 4;  // a token's q, k, normed
  }

  MemoryNeed count() const;

 private:
  // Tokens.
  int64_t largest_batch(const Windows& windows) const {
    const auto batches = cut_batches(windows, batch_tokens(in_.backend, config_));
    return batches.empty() ? 0 : batches.front().tokens;
  }
  const StageShape& stage(int s) const { return stages_[static_cast<size_t>(s)]; }
  int64_t widest(int64_t StageShape::*width) const {
    return std::ranges::max_element(stages_, {}, width)->*width;
  }
  int64_t stored_width(Stage s) const { return stage(static_cast<int>(s)).inputs; }
  // A batch on its way to stage s, with the Hessian's copies of it.
  int64_t window_scratch(int s) const;
  int64_t hessian_scratch(int s) const;
  // The peak with so many bytes of copies, while Hessians are filled and while held-out windows
  // run, and with or without what is loaded ahead.
  struct Copies {
    int64_t filling = 0, held_out = 0;
  };
  int64_t blocks(const Copies& copies, bool ahead) const;
  int64_t by_stages(const Copies& copies, bool ahead) const;
  int64_t by_original(const Copies& copies, bool ahead) const;
  bool of_original() const {
    return in_.plan.method->needs_hessian && in_.plan.solver.inputs == CalibrationInputs::original;
  }
  int64_t saved(int s) const;
  int64_t factoring(int s) const;
  int64_t block_weights() const;
  int64_t read_weight() const;
  int64_t block_scratch(int64_t tokens) const;
  int64_t solve(int s) const;
  int64_t dense(int s) const;
  int64_t checked(int s) const;
  int64_t scale_search(int s) const;
  int64_t moments(int s) const;
  int64_t held_out() const;
  int64_t head() const;
  int64_t solve_head() const;
  const PlanRow* head_row() const;  // null: the head is not quantized

  const EstimateInput& in_;
  const ModelConfig& config_;
  const Stages stages_;
  const int64_t x_, weight_;          // bytes of an activation, of a prepared weight's element
  const int64_t samples_, held_out_;  // tokens
  const bool apart_;                  // the device has memory of its own
  int64_t batch_ = 0, held_out_batch_ = 0, attention_ = 0;
};

int64_t Counter::window_scratch(int s) const {
  const int64_t before = s == 0 ? 0 : s == 1 ? stage(0).outputs : stage(s == 2 ? 0 : 2).outputs;
  const bool copied = x_ == 4 && s > 0;  // stored in bf16, multiplied as f32
  const int64_t input = copied ? std::max(stage(s).inputs, config_.hidden) : config_.hidden;
  return batch_ * (before * x_ + config_.hidden * (x_ + 4) + input * x_ + attention_);
}

int64_t Counter::hessian_scratch(int s) const {
  if (apart_) return 0;
  const int64_t element = x_ == 2 && in_.backend.info().native_bf16 ? 2 : 4;
  return std::min(kHessianTokens, batch_) * (2 * stage(s).inputs + 64) * element + kTiles;
}

// What a search of clipped ranges keeps of the Hessian, for each width of group.
int64_t Counter::moments(int s) const {
  if (!in_.plan.solver.clip) return 0;
  std::set<int64_t> widths;
  for (const PlanRow& row : in_.plan.rows)
    if (!row.method.empty() && row.key.layer >= 0 &&
        stage_of(row.key.role) == static_cast<Stage>(s))
      widths.insert(row.grid.group_width(row.cols));
  return 4 * stage(s).inputs * std::accumulate(widths.begin(), widths.end(), int64_t{0});
}

// The Hessian gone, the factor there, and one linear's panels.
int64_t Counter::solve(int s) const {
  const int64_t n = stage(s).inputs,
                rows = std::min(std::max<int64_t>(1, kMostPanelWeights / n), stage(s).largest_rows);
  const int64_t factor = in_.plan.method->needs_hessian ? 4 * n * n + 4 * kFactorBlock * n : 0;
  // A device splits what it multiplies, a span of columns at a time, in six bytes.
  const int64_t split = apart_ ? 6 * kSpan * (n + rows) : 0;
  return factor + moments(s) + 4 * stage(s).largest + stage(s).codes + split +
         rows * ((4 + 4 + 1) * n + 4 * kFactorBlock);
}

// On a device, beside the quantized weights: the original ones that have been loaded until stage s
// is solved.
int64_t Counter::dense(int s) const {
  int64_t weights = 0;
  for (int i = 0; apart_ && i <= s; ++i) weights += stage(i).weights;
  return weights * weight_;
}

// A layer of the output, that is run while the widest Hessian is filled.
int64_t Counter::checked(int s) const {
  return s == static_cast<int>(Stage::mlp_out) ? dense(s) : 0;
}

// A factor, sampled rows of the linears, and of one of them what is rounded.
int64_t Counter::scale_search(int s) const {
  if (in_.plan.method->transform == nullptr) return 0;
  constexpr int64_t kMostLinears = 3;
  const int64_t n = stage(s).inputs;
  return 4 * n * n + 4 * kFactorBlock * n + kSampledRows * n * (4 * kMostLinears + 4 + 4 + 1);
}

int64_t Counter::held_out() const {
  if (held_out_ == 0) return 0;
  return 2 * block_weights() + block_scratch(held_out_batch_) + kTiles + read_weight();
}

int64_t Counter::block_weights() const {
  int64_t block = 0;
  for (const StageShape& stage : stages_) block += stage.weights;
  return block * weight_;
}

// Of an original weight, before it is laid as products take it.
int64_t Counter::read_weight() const {
  const bool read =
      in_.plan.method->transform || !in_.model.tensors->mapped({.layer = 0, .role = Role::q});
  return read ? widest(&StageShape::largest) * x_ : 0;
}

// A batch that passes a block at once.
int64_t Counter::block_scratch(int64_t tokens) const {
  return tokens * ((widest(&StageShape::inputs) + widest(&StageShape::outputs)) * x_ +
                   config_.hidden * (4 + 4 + 4) + attention_);
}

// The codes of the stage before are being saved meanwhile, and on a device those before wait.
int64_t Counter::saved(int s) const {
  const int64_t before = stage((s + kStages - 1) % kStages).codes;
  return before + (apart_ ? stage((s + kStages - 2) % kStages).codes : 0);
}

// A Hessian while it is factored, in f64 when f32 is not enough: Factor says what is parked then.
int64_t Counter::factoring(int s) const {
  if (!in_.plan.method->needs_hessian) return 0;
  const int64_t n = stage(s).inputs;
  const bool all_at_once = !apart_ || n <= Factor::kExactInputs;
  const int64_t squares = all_at_once ? 12 : Factor::parks(in_.backend, n) ? 4 : 8;
  return squares * n * n + moments(s);
}

int64_t Counter::blocks(const Copies& copies, bool ahead) const {
  const int64_t layer = of_original() ? by_original(copies, ahead) : by_stages(copies, ahead);
  const int64_t next = of_original() && ahead && apart_ ? block_weights() : 0;
  return std::max(held_out() + next + copies.held_out, layer);
}

// All Hessians of a block stand until each is factored, the widest last.
int64_t Counter::by_original(const Copies& copies, bool ahead) const {
  int64_t hessians = 0, tiles = 0;
  for (int s = 0; s < kStages; ++s) {
    hessians += 4 * stage(s).inputs * stage(s).inputs;
    tiles = std::max(tiles, hessian_scratch(s));
  }
  const bool weighed = in_.plan.solver.tokens != TokenWeights::none;
  const int64_t last = kStages - 1;
  int64_t peak = block_weights() + read_weight() + block_scratch(batch_) +
                 (weighed ? batch_ * config_.hidden * x_ : 0) + std::max(tiles, kTiles) + hessians +
                 copies.filling + saved(0) + (ahead && apart_ ? checked(last) : 0);
  // What comes ahead is this layer's, and the next one's.
  int64_t standing = ahead && apart_ ? 2 * block_weights() : 0;
  for (int s = 0; s < kStages; ++s) {
    hessians -= 4 * stage(s).inputs * stage(s).inputs;
    const int64_t kept = s == last && !ahead && apart_ ? 0 : saved(s);
    peak = std::max(
        peak, standing + hessians + kept + std::max({factoring(s), solve(s), scale_search(s)}));
    standing += stage(s).weights * weight_;
  }
  return peak;
}

int64_t Counter::by_stages(const Copies& copies, bool ahead) const {
  const bool hessian = in_.plan.method->needs_hessian;
  int64_t peak = 0, ready = 0;
  for (int s = 0; s < kStages; ++s) {
    const int64_t saved = this->saved(s);
    const int64_t standing = ready + (ahead ? dense(s) : 0);
    const int64_t square = hessian ? stage(s).inputs * stage(s).inputs : 0;
    const int64_t filling = window_scratch(s) + (hessian ? hessian_scratch(s) : 0) + copies.filling;
    peak = std::max(peak, standing + saved + filling + 4 * square + (ahead ? checked(s) : 0));
    // Factoring and solving have all to themselves in the last stage.
    const bool last = s + 1 == kStages;
    const int64_t kept = (last ? 0 : filling) + (last && !ahead && apart_ ? 0 : saved);
    peak = std::max(peak, standing + kept + std::max({factoring(s), solve(s), scale_search(s)}));
    ready += stage(s).weights * weight_;
  }
  return peak;
}

const PlanRow* Counter::head_row() const {
  for (const PlanRow& row : in_.plan.rows)
    if (row.key.role == Role::head && !row.method.empty()) return &row;
  return nullptr;
}

// The head's codes, its factor and a panel's weights; then the codes on their way to the journal
// and the output, and what the held-out windows run through.
int64_t Counter::solve_head() const {
  const PlanRow* row = head_row();
  if (row == nullptr) return 0;
  const int64_t n = row->cols, codes = code_bytes(*row);
  const int64_t panel = LinearSolver::panel_rows(in_.backend, row->key, row->rows, n);
  const bool hessian = in_.plan.method->needs_hessian;
  const int64_t squares = hessian ? 12 * n * n : 0;
  const int64_t factor = hessian ? 4 * n * n + 4 * kFactorBlock * n : 0;
  const int64_t split = apart_ ? 6 * kSpan * (n + panel) : 0;
  const int64_t moments = in_.plan.solver.clip ? 4 * n * row->grid.group_width(n) : 0;
  const int64_t solving =
      codes + factor + moments + split + panel * ((4 + 4 + 4 + 1 + 1) * n + 4 * kFactorBlock);
  const int64_t prepared = held_out_ > 0 ? row->rows * n * weight_ : 0;
  const int64_t saving = apart_ ? codes : 3 * codes;
  return std::max({squares, solving, prepared + saving});
}

int64_t Counter::head() const {
  const int64_t weights = config_.vocab * config_.hidden;
  const TensorKey own{.role = Role::head}, tied{.role = Role::embed};
  const bool mapped =
      in_.model.tensors->mapped(in_.model.tensors->has(own) ? own : tied) && weight_ == x_;
  const int64_t tile = std::min(std::max<int64_t>(16, kTileElements / config_.vocab),
                                std::max<int64_t>(held_out_batch_, 1));
  const int64_t logits = (held_out_ > 0 ? 2 : 1) * tile * config_.vocab * 4;
  // Of a quantized head the original stands beside it.
  const int64_t heads = head_row() == nullptr ? 1 : 2;
  const int64_t measured = weights * (heads * weight_ + (mapped ? 0 : x_)) + logits +
                           tile * config_.hidden * 2 * (4 + x_) + kTiles;
  return std::max(measured, solve_head());
}

MemoryNeed Counter::count() const {
  MemoryNeed need;
  const int64_t hidden = config_.hidden;
  const int64_t attn_width = stored_width(Stage::attn_out),
                mlp_width = stored_width(Stage::mlp_out);
  const int64_t stored = std::max(attn_width, mlp_width);
  need.residuals = samples_ * hidden * 4;
  need.held_out_residuals = 2 * held_out_ * hidden * 4;
  if (!of_original()) {
    need.inputs = samples_ * stored * 2;
    // A slot of the narrower stage is given up when the wider one comes.
    need.inputs_on_disk = need.inputs + (attn_width < mlp_width ? samples_ * attn_width * 2 : 0);
  }
  const int64_t at_once = apart_ ? 2 : 1;  // one at work, one on its way
  need.residual_copies = at_once * (batch_ + 2 * held_out_batch_) * hidden * 4;
  need.input_copies = of_original() ? 0 : at_once * batch_ * stored * 2;
  // The rows of the embedding that a batch needs, where they cannot be read in the mapped file.
  const bool in_place = !apart_ && in_.model.tensors->mapped({.role = Role::embed});
  const int64_t embedded =
      in_place ? 0 : std::min(config_.vocab, std::max(batch_, held_out_batch_)) * hidden * 4;
  const int64_t standing = vector_bytes(in_.model) + embedded;
  const int64_t inputs = need.input_copies, residuals = need.residual_copies;
  need.blocks = standing + blocks({}, true);
  need.spilled_blocks = standing + blocks({inputs, inputs}, true);
  need.least_blocks =
      standing + blocks({inputs + at_once * batch_ * hidden * 4, inputs + residuals}, false);
  need.head = standing + head();
  // A stage's codes, and their record in the journal or what is packed of them; on a device's host
  // more stages, on their way to the output.
  int64_t codes = widest(&StageShape::codes);
  if (apart_ && head_row() != nullptr) codes = std::max(codes, code_bytes(*head_row()));
  need.outside = kProgram + 2 * codes + OutputStream::table_bytes(in_.plan);
  if (apart_) need.outside += OutputStream::bytes_held(in_.backend, codes);
  const int64_t widest_input = widest(&StageShape::inputs);
  need.host_copies = std::max({4 * widest(&StageShape::largest), config_.vocab * hidden * x_,
                               in_.plan.method->needs_hessian ? 4 * widest_input * widest_input +
                                                                    4 * kParkedRows * widest_input
                                                              : 0});
  return need;
}

}  // namespace

MemoryNeed count_memory(const EstimateInput& input) { return Counter(input).count(); }

}  // namespace halftone
