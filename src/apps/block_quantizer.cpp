// Each linear is forwarded once a window: where the inputs are those of the quantized network, the
// pass that runs a stage's quantized linears also fills the Hessian of the stage after it; where
// they are the original's, one pass through its block fills the Hessians of all stages.
#include "apps/block_quantizer.h"

#include <array>
#include <chrono>
#include <optional>
#include <set>
#include <utility>

#include "apps/held_out_pass.h"
#include "apps/linear_solver.h"
#include "apps/loud_channels.h"
#include "apps/stage_saver.h"
#include "apps/work_done.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/interrupt.h"
#include "base/log.h"
#include "quant/hessian.h"

namespace halftone {
namespace {

class BlockQuantizer {
 public:
  explicit BlockQuantizer(const BlockQuantizerInput& input);
  BlockQuantizerResult run();

 private:
  struct StagePlan {
    StageId id;
    std::vector<const PlanRow*> rows;  // to be quantized; may be empty
  };

  std::vector<StagePlan> stages_of(int layer) const;
  StagePlan head_stage() const;
  bool needs_hessian(const StagePlan& stage) const;
  bool in_journal(const StageId& id) const { return resumable_.contains(record_name(id)); }
  int64_t layers() const { return in_.layers > 0 ? in_.layers : config_.layers; }
  // Whether the inputs are those of the original network.
  bool of_original() const {
    return in_.plan.method->needs_hessian && in_.plan.solver.inputs == CalibrationInputs::original;
  }
  void accumulate(ConstView x, Hessian& hessian) const;
  // Brings every window to the input of `stage`, through the linears of `done`.
  std::optional<Hessian> approach(const StageId* done, const StagePlan& stage);
  // Brings every window through the original block; the Hessians that stages need.
  using Hessians = std::array<std::optional<Hessian>, kStages>;
  Hessians pass_original(int layer, const std::vector<StagePlan>& stages);
  void finish_stage(const StagePlan& stage, std::optional<Hessian> hessian);
  SolvedStage solve(const StagePlan& stage, std::optional<Hessian> hessian);
  StageRecord solve_and_save(const StagePlan& stage, std::optional<Hessian> hessian);
  StageRecord read_finished(const StagePlan& stage);
  bool shares_dense(const TensorKey& key) const;
  void announce(const StagePlan& stage);
  void load(const TensorKey& key, int64_t row_begin, View rows);
  // Whether something runs through its quantized linears.
  bool runs_on(const StageId& id) const { return id != kHeadStage || held_out_.count() > 0; }
  void quantize_by_stages(int layer);
  void quantize_by_original(int layer);
  void quantize_layer(int layer);
  void quantize_head();
  std::vector<TensorKey> linears_of(int layer) const;
  void report(const StageRecord& record, bool resumed);
  void run_held_out(int layer);
  WorkDone work_done() const { return {layers(), !head_stage().rows.empty(), of_original()}; }
  void step(const StageId& id, int64_t batches);

  const BlockQuantizerInput& in_;
  Profile* profile_;
  const ModelConfig& config_;
  const WeightReader reader_;
  std::unique_ptr<WeightProvider> dense_;
  OverlayProvider quantized_;
  Forward dense_forward_, forward_;
  ActivationBudget budget_;
  WindowStream samples_;
  HeldOutPass held_out_;
  std::vector<StageRecord> finished_;
  Clock::time_point since_ = Clock::now();  // the last stage was finished
  double seconds_before_ = 0;
  std::set<std::string> resumable_;  // stages that the journal held at the start
  std::optional<StageSaver> saver_;  // has the journal to itself while it is busy
};

BlockQuantizer::BlockQuantizer(const BlockQuantizerInput& input)
    : in_(input),
      profile_(input.profile),
      config_(input.model.config()),
      reader_(input.backend, *input.model.tensors),
      dense_(make_provider(input.backend, *input.model.tensors,
                           {.compute = input.compute, .streamed = true})),
      quantized_(*dense_),
      dense_forward_(input.backend, *input.model.tensors, *dense_, input.compute),
      forward_(input.backend, *input.model.tensors, quantized_, input.compute),
      budget_(input.activations),
      samples_(of_original() ? dense_forward_ : forward_, input.calibration.samples, budget_),
      held_out_(forward_, dense_forward_, input.calibration.held_out, budget_) {
  if (input.journal) {
    for (const std::string& name : input.journal->names()) resumable_.insert(name);
    saver_.emplace(input.backend, *input.journal, input.on_kept);
  }
  forward_.set_profile(input.profile);
  dense_forward_.set_profile(input.profile);
}

std::vector<BlockQuantizer::StagePlan> BlockQuantizer::stages_of(int layer) const {
  std::vector<StagePlan> stages;
  for (int s = 0; s < kStages; ++s) {
    const StageId id{layer, static_cast<Stage>(s)};
    stages.push_back({id, rows_of(in_.plan, id)});
  }
  return stages;
}

bool BlockQuantizer::needs_hessian(const StagePlan& stage) const {
  return in_.plan.method->needs_hessian && !stage.rows.empty() && !in_journal(stage.id);
}

// A probe of some layers leaves the head out.
BlockQuantizer::StagePlan BlockQuantizer::head_stage() const {
  if (in_.layers > 0) return {kHeadStage, {}};
  return {kHeadStage, rows_of(in_.plan, kHeadStage)};
}

// So many batches of the windows have passed.
void BlockQuantizer::step(const StageId& id, int64_t batches) {
  throw_if_interrupted();
  const double part = static_cast<double>(batches) / static_cast<double>(samples_.count());
  if (in_.on_step) in_.on_step(work_done().in_windows(id, part), id);
}

// Whether the weight that the original model multiplies with is the one that is to be quantized,
// on a device from which it need not be loaded twice.
bool BlockQuantizer::shares_dense(const TensorKey& key) const {
  if (in_.backend.place() == Place::host || !in_.load_ahead) return false;
  const auto stored = in_.model.tensors->mapped(key);
  return stored && (in_.compute == DType::f32 || stored->dtype == in_.compute);
}

// What solving this stage takes comes while its Hessian is filled.
void BlockQuantizer::announce(const StagePlan& stage) {
  std::vector<TensorKey> keys;
  if (!in_.load_ahead || stage.id == kHeadStage) return;
  for (const PlanRow* row : stage.rows)
    if (held_out_.count() > 0 || (shares_dense(row->key) && !in_journal(stage.id)))
      keys.push_back(row->key);
  dense_->prefetch(keys);
}

void BlockQuantizer::load(const TensorKey& key, int64_t row_begin, View rows) {
  const bool shared = key.role != Role::head && shares_dense(key);
  // What comes ahead is not counted here, but waited for.
  const int64_t stored = shared ? 0 : in_.model.tensors->stored(key).bytes;
  const double share =
      static_cast<double>(rows.rows) / static_cast<double>(in_.model.tensors->shape(key).first);
  const ProfileScope scope(profile_, "load weights", 0, share * static_cast<double>(stored));
  if (shared && in_.backend.restore(*dense_->linear(key)->weight, rows)) return;
  reader_.upload(key, rows, row_begin);
}

void BlockQuantizer::accumulate(ConstView x, Hessian& hessian) const {
  const auto n = static_cast<double>(x.cols);
  const ProfileScope scope(profile_, "Hessians", static_cast<double>(x.rows) * n * (n + 1));
  hessian.accumulate(x);
}

std::optional<Hessian> BlockQuantizer::approach(const StageId* done, const StagePlan& stage) {
  std::optional<Hessian> hessian;
  announce(stage);
  if (needs_hessian(stage)) hessian.emplace(in_.backend, forward_.input_width(stage.id.stage));
  const int64_t count = samples_.count();
  const bool weighed = hessian && in_.plan.weighs_tokens(stage.id.stage);
  for (int64_t b = 0; b < count; ++b) {
    const ConstView x = samples_.advance(b, done, stage.id, weighed);
    if (hessian) accumulate(x, *hessian);
    step(stage.id, b + 1);
  }
  return hessian;
}

BlockQuantizer::Hessians BlockQuantizer::pass_original(int layer,
                                                       const std::vector<StagePlan>& stages) {
  Hessians hessians;
  for (const StagePlan& stage : stages)
    if (needs_hessian(stage))
      hessians[static_cast<size_t>(stage.id.stage)].emplace(
          in_.backend, dense_forward_.input_width(stage.id.stage));
  dense_->prefetch(linears_of(layer));
  Tensor weighed;
  const StageTap tap = [&](const StageId& id, ConstView residual, ConstView x) {
    std::optional<Hessian>& hessian = hessians[static_cast<size_t>(id.stage)];
    if (!hessian) return;
    if (!in_.plan.weighs_tokens(id.stage)) return accumulate(x, *hessian);
    if (weighed.rows() < x.rows)  // the first batch has the most tokens
      weighed = in_.backend.allocate(x.rows, x.cols, x.dtype);
    const View rows = weighed.view().rows_of(0, x.rows);
    dense_forward_.weighed_input(id, residual, rows);
    accumulate(rows, *hessian);
  };
  const int64_t count = samples_.count();
  for (int64_t b = 0; b < count; ++b) {
    samples_.run_block(b, layer, tap);
    step(stages.front().id, b + 1);
  }
  samples_.release_scratch();
  dense_forward_.release_scratch();
  // The solver takes them from where they came ahead, or from the file; the next pass begins with
  // weights, which come while this layer is solved.
  if (in_.backend.place() == Place::host || !in_.load_ahead)
    dense_->release_layer(layer);
  else if (layer + 1 < layers())
    dense_->prefetch(linears_of(layer + 1));
  return hessians;
}

SolvedStage BlockQuantizer::solve(const StagePlan& stage, std::optional<Hessian> hessian) {
  SolvedStage solved{.record = {.id = stage.id}, .matrices = {}};
  StageRecord& record = solved.record;
  std::optional<Factor> factor;
  StageMoments moments;
  std::string trouble;
  auto start = Clock::now();
  if (hessian) {
    const auto n = static_cast<double>(hessian->inputs());
    const ProfileScope scope(profile_, "factor", n * n * n / 3);
    if (hessian->finite()) {
      note_channels(*hessian, record);
      if (in_.plan.solver.clip) moments = moments_of(in_.backend, *hessian, stage.rows);
      factor = Factor::compute(in_.backend, std::move(*hessian), in_.plan.solver.order,
                               in_.plan.solver.damping);
    } else {
      trouble = "activations overflowed: rounded to nearest instead";
    }
  }
  const LinearSolver solver{
      in_.backend, in_.plan.solver,
      [this](const TensorKey& key, int64_t row_begin, View rows) { load(key, row_begin, rows); },
      profile_};
  for (const PlanRow* row : stage.rows) {
    throw_if_interrupted();
    PlanRow how = *row;
    if (!trouble.empty()) how.method = "rtn";
    SolveResult result = solver.solve(how, factor ? &*factor : nullptr, moments);
    if (!trouble.empty()) {
      result.report.note = trouble;
      spdlog::warn("{}: {}", row->module, trouble);
    }
    const double seconds = seconds_since(start);
    const QuantizedMatrix shape{.grid = row->grid, .rows = row->rows, .cols = row->cols};
    record.linears.push_back({row->key, row->module, shape, result.report, seconds});
    solved.matrices.push_back(std::move(result.matrix));
    start = Clock::now();
  }
  return solved;
}

StageRecord BlockQuantizer::solve_and_save(const StagePlan& stage, std::optional<Hessian> hessian) {
  SolvedStage solved = solve(stage, std::move(hessian));
  for (size_t i = 0; runs_on(stage.id) && i < solved.matrices.size(); ++i) {
    const auto values = static_cast<double>(solved.matrices[i].rows() * solved.matrices[i].cols());
    const ProfileScope scope(profile_, "prepare quantized weights", 0,
                             values * static_cast<double>(1 + size_of(in_.compute)));
    quantized_.set(solved.record.linears[i].key,
                   in_.backend.prepare(solved.matrices[i].view(), in_.compute));
  }
  const auto now = Clock::now();
  solved.record.seconds = std::chrono::duration<double>(now - since_).count();
  since_ = now;
  StageRecord record = solved.record;
  const ProfileScope scope(profile_, "journal");  // what is waited for
  if (saver_) saver_->save(std::move(solved));
  return record;
}

// What the journal held comes before all that is appended to it: nothing is being written yet.
StageRecord BlockQuantizer::read_finished(const StagePlan& stage) {
  SolvedStage kept{.record = deserialize(in_.journal->read(record_name(stage.id))), .matrices = {}};
  seconds_before_ += kept.record.seconds;
  since_ = Clock::now();
  StageRecord record = without_matrices(kept.record);
  for (const FinishedLinear& linear : kept.record.linears) {
    if (!runs_on(stage.id)) continue;
    const ProfileScope scope(profile_, "prepare quantized weights");
    quantized_.set(linear.key, in_.backend.prepare(linear.matrix, in_.compute));
  }
  if (in_.on_kept) saver_->save(std::move(kept));
  return record;
}

void BlockQuantizer::report(const StageRecord& record, bool resumed) {
  const double at = work_done().solved(record.id);
  for (const FinishedLinear& linear : record.linears)
    if (in_.on_linear) in_.on_linear(linear, at, resumed);
}

void BlockQuantizer::finish_stage(const StagePlan& stage, std::optional<Hessian> hessian) {
  if (stage.rows.empty()) return;
  // Memory peaks in the factor of the widest input, which is the last stage's.
  if (stage.id.stage == Stage::mlp_out) {
    samples_.release_scratch();
    forward_.release_scratch();
    if (saver_ && !in_.load_ahead) saver_->finish();  // its codes go
  }
  const bool resumed = in_journal(stage.id);
  finished_.push_back(resumed ? read_finished(stage) : solve_and_save(stage, std::move(hessian)));
  report(finished_.back(), resumed);
}

std::vector<TensorKey> BlockQuantizer::linears_of(int layer) const {
  std::vector<TensorKey> keys;
  for (const PlanRow& row : in_.plan.rows)
    if (row.key.layer == layer) keys.push_back(row.key);
  return keys;
}

void BlockQuantizer::run_held_out(int layer) {
  if (held_out_.count() == 0) return;
  dense_->prefetch(linears_of(layer));
  if (profile_)  // the original weights are loaded again
    for (const PlanRow& row : in_.plan.rows)
      if (row.key.layer == layer && !shares_dense(row.key))
        profile_->add("load weights",
                      {.bytes = static_cast<double>(in_.model.tensors->stored(row.key).bytes)});
  held_out_.run(layer);
}

void BlockQuantizer::quantize_by_stages(int layer) {
  std::optional<StageId> done;
  for (const StagePlan& stage : stages_of(layer)) {
    if (in_.on_stage) in_.on_stage(stage.id, false);
    std::optional<Hessian> hessian = approach(done ? &*done : nullptr, stage);
    if (in_.on_stage) in_.on_stage(stage.id, true);
    finish_stage(stage, std::move(hessian));
    done = stage.id;
  }
  for (int64_t b = 0; b < samples_.count(); ++b) {
    throw_if_interrupted();
    samples_.finish_block(b, *done);
  }
}

void BlockQuantizer::quantize_by_original(int layer) {
  const std::vector<StagePlan> stages = stages_of(layer);
  // What runs beside the longest pass over the windows runs beside the only one.
  if (in_.on_stage) in_.on_stage(stages.back().id, false);
  Hessians hessians = pass_original(layer, stages);
  if (in_.on_stage) in_.on_stage(stages.back().id, true);
  for (const StagePlan& stage : stages)
    finish_stage(stage, std::move(hessians[static_cast<size_t>(stage.id.stage)]));
}

void BlockQuantizer::quantize_layer(int layer) {
  of_original() ? quantize_by_original(layer) : quantize_by_stages(layer);
  run_held_out(layer);
  quantized_.clear(layer);
  dense_->release_layer(layer);
}

// Behind the last block, from the final norm's output. Its stages are told apart from the layers'.
void BlockQuantizer::quantize_head() {
  const StagePlan stage = head_stage();
  if (stage.rows.empty()) return;
  Profile of_head;
  if (in_.profile) profile_ = &of_head;
  forward_.set_profile(profile_);
  std::optional<Hessian> hessian = needs_hessian(stage) ? approach(nullptr, stage) : std::nullopt;
  samples_.release();
  forward_.release_scratch();
  finish_stage(stage, std::move(hessian));
  profile_ = in_.profile;
  forward_.set_profile(profile_);
  for (const auto& [name, row] : of_head.rows()) profile_->add("quantize head: " + name, row);
}

BlockQuantizerResult BlockQuantizer::run() {
  for (int layer = 0; layer < layers(); ++layer) quantize_layer(layer);
  quantize_head();
  samples_.release();  // makes room for the head and its logits
  if (saver_) {
    const ProfileScope scope(profile_, "journal");
    saver_->finish();
  }
  return {.stages = std::move(finished_),
          .loss = in_.measure_loss ? held_out_.measure(profile_) : HeldOutLoss(),
          .saving_seconds = saver_ ? saver_->seconds() : 0,
          .seconds_before = seconds_before_};
}

}  // namespace

BlockQuantizerResult quantize_blocks(const BlockQuantizerInput& input) {
  return BlockQuantizer(input).run();
}

}  // namespace halftone
