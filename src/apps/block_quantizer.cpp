// Each linear is forwarded once a window: the pass that runs a stage's quantized linears also fills
// the Hessian of the stage after it.
#include "apps/block_quantizer.h"

#include <chrono>
#include <optional>
#include <set>

#include "apps/linear_solver.h"
#include "apps/loud_channels.h"
#include "apps/stage_saver.h"
#include "apps/token_scores.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/interrupt.h"
#include "base/log.h"
#include "quant/hessian.h"

namespace halftone {
namespace {

// Of the work on a stage, for the progress bar: what is spent in the windows; the rest is solving.
constexpr double kShareOfWindows = 0.85;

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
  // Brings every window to the input of `stage`, through the linears of `done`.
  std::optional<Hessian> approach(const StageId* done, const StagePlan& stage);
  void finish_stage(const StagePlan& stage, std::optional<Hessian> hessian);
  SolvedStage solve(const StagePlan& stage, std::optional<Hessian> hessian);
  StageRecord solve_and_save(const StagePlan& stage, std::optional<Hessian> hessian);
  StageRecord read_finished(const StagePlan& stage);
  StageMoments moments_of(const StagePlan& stage, const Hessian& hessian) const;
  bool shares_dense(const TensorKey& key) const;
  void announce(const StagePlan& stage);
  void load(const TensorKey& key, int64_t row_begin, View rows);
  // Whether something runs through its quantized linears.
  bool runs_on(const StageId& id) const { return id != kHeadStage || held_out_.count() > 0; }
  void quantize_layer(int layer);
  void quantize_head();
  std::vector<TensorKey> linears_of(int layer) const;
  void report(const StageRecord& record, bool resumed);
  void run_held_out(int layer);
  HeldOutLoss measure_loss();
  // Of the whole work.
  double stages() const { return static_cast<double>(layers() * kStages + head_rows()); }
  int64_t head_rows() const { return head_stage().rows.empty() ? 0 : 1; }
  void step(const StageId& id, double within);

  const BlockQuantizerInput& in_;
  Profile* profile_;
  const ModelConfig& config_;
  const WeightReader reader_;
  std::unique_ptr<WeightProvider> dense_;
  OverlayProvider quantized_;
  Forward dense_forward_, forward_;
  ActivationBudget budget_;
  WindowStream samples_, held_out_, held_out_dense_;
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
      samples_(forward_, input.calibration.samples, budget_),
      held_out_(forward_, input.calibration.held_out, budget_),
      held_out_dense_(dense_forward_, input.calibration.held_out, budget_) {
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

void BlockQuantizer::step(const StageId& id, double within) {
  throw_if_interrupted();
  const auto before = static_cast<double>(stages_before(id, layers()));
  if (in_.on_step) in_.on_step((before + within) / stages(), id);
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

std::optional<Hessian> BlockQuantizer::approach(const StageId* done, const StagePlan& stage) {
  std::optional<Hessian> hessian;
  announce(stage);
  if (needs_hessian(stage)) hessian.emplace(in_.backend, forward_.input_width(stage.id.stage));
  const int64_t count = samples_.count();
  const bool weighed = hessian && in_.plan.weighs_tokens(stage.id.stage);
  for (int64_t b = 0; b < count; ++b) {
    const ConstView x = samples_.advance(b, done, stage.id, weighed);
    if (hessian) {
      const double n = static_cast<double>(x.cols);
      const ProfileScope scope(profile_, "Hessians", static_cast<double>(x.rows) * n * (n + 1));
      hessian->accumulate(x);
    }
    step(stage.id, kShareOfWindows * static_cast<double>(b + 1) / static_cast<double>(count));
  }
  return hessian;
}

// While the Hessian is there.
StageMoments BlockQuantizer::moments_of(const StagePlan& stage, const Hessian& hessian) const {
  StageMoments moments;
  if (!in_.plan.solver.clip) return moments;
  for (const PlanRow* row : stage.rows) {
    const int64_t width = row->grid.group_width(row->cols);
    if (!moments.contains(width)) moments.emplace(width, GroupMoments(in_.backend, hessian, width));
  }
  return moments;
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
      moments = moments_of(stage, *hessian);
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
  const auto at = static_cast<double>(stages_before(record.id, layers()) + 1);
  for (const FinishedLinear& linear : record.linears)
    if (in_.on_linear) in_.on_linear(linear, at / stages(), resumed);
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
  if (held_out_.count() > 0) dense_->prefetch(linears_of(layer));
  for (int64_t b = 0; b < held_out_.count(); ++b) {
    throw_if_interrupted();
    held_out_.run_block(b, layer);
  }
  if (profile_ && held_out_dense_.count() > 0)  // which loads the original weights again
    for (const PlanRow& row : in_.plan.rows)
      if (row.key.layer == layer && !shares_dense(row.key))
        profile_->add("load weights",
                      {.bytes = static_cast<double>(in_.model.tensors->stored(row.key).bytes)});
  // A block at once takes all of a block's temporary matrices: nobody else's at the same time.
  forward_.release_scratch();
  for (int64_t b = 0; b < held_out_dense_.count(); ++b) {
    throw_if_interrupted();
    held_out_dense_.run_block(b, layer);
  }
  dense_forward_.release_scratch();
  held_out_.release_scratch();
  held_out_dense_.release_scratch();
}

HeldOutLoss BlockQuantizer::measure_loss() {
  const Windows& windows = in_.calibration.held_out;
  if (windows.count() == 0) return {};
  const ProfileScope scope(profile_, "held-out loss");
  TokenScores scores;
  for (int64_t b = 0; b < held_out_.count(); ++b) {
    throw_if_interrupted();
    const Batch batch = held_out_.batch(b);
    std::vector<int64_t> rows;
    std::vector<int32_t> targets;
    for (int64_t row = 0; row + 1 < batch.tokens(); ++row) {
      const auto next = static_cast<size_t>(row) + 1;
      if (batch.positions[next] == 0) continue;  // of another window
      rows.push_back(row);
      targets.push_back(batch.ids[next]);
    }
    score_rows({.forward = &forward_, .residual = held_out_.residual(b)},
               {.forward = &dense_forward_, .residual = held_out_dense_.residual(b)}, rows, targets,
               scores);
  }
  return held_out_loss(scores, windows, "quantized");
}

void BlockQuantizer::quantize_layer(int layer) {
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
          .loss = in_.measure_loss ? measure_loss() : HeldOutLoss(),
          .saving_seconds = saver_ ? saver_->seconds() : 0,
          .seconds_before = seconds_before_};
}

}  // namespace

BlockQuantizerResult quantize_blocks(const BlockQuantizerInput& input) {
  return BlockQuantizer(input).run();
}

}  // namespace halftone
