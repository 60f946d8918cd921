// One pass over the calibration windows through the dense model: a Hessian a stage, its factor, the
// method's search, for one plan or for several. Scales change nothing that a later stage sees, so
// each is found by itself.
#include "apps/channel_scaling.h"

#include <algorithm>
#include <cassert>
#include <cstring>
#include <optional>

#include "apps/stage_record.h"
#include "apps/window_stream.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/interrupt.h"
#include "base/log.h"
#include "base/progress.h"
#include "base/sha256.h"
#include "model/producer.h"
#include "quant/factor.h"
#include "quant/fit_scales.h"

namespace halftone {
namespace {

// How a linear's scales are fitted where its channels' factors are judged.
GridFit fit_of(const Plan& plan, const PlanRow& row) {
  GridFit fit = plan.solver.fit;
  fit.grid = row.grid;
  if (plan.solver.clip)  // clipping comes afterwards
    fit.search = has_plain_levels(row.grid) ? ScaleSearch::minmax : ScaleSearch::importance;
  return fit;
}

// Factors that both would find come from the same factored Hessians.
bool same_factors(const Plan& one, const Plan& other) {
  return one.method->transform == other.method->transform &&
         one.solver.order == other.solver.order && one.solver.damping == other.solver.damping;
}

// All that a stage's scales depend on beside the model, the device and its compute type.
std::string search_text(const Plan& plan, const StageId& id, const Calibration& calibration) {
  const auto first = std::ranges::find(methods(), plan.method->transform, &Method::transform);
  std::string text =
      fmt::format("{} order {} damping {} text {}\n", first->name, name_of(plan.solver.order),
                  plan.solver.damping, calibration.ids_sha256);
  for (const PlanRow* row : rows_of(plan, id)) {
    const GridFit fit = fit_of(plan, *row);
    text +=
        fmt::format("{} {}x{} {} search {} power {} steps {}\n", row->module, row->rows, row->cols,
                    canonical_text(row->grid), name_of(fit.search), fit.power, fit.steps);
  }
  return text;
}

// Of a stage's record: plans that want the same factors share it.
std::string scales_name(const Plan& plan, const StageId& id, const Calibration& calibration) {
  constexpr size_t kDigits = 16;
  return fmt::format("scales of {}, {}", record_name(id),
                     sha256_of(search_text(plan, id, calibration)).substr(0, kDigits));
}

struct RecordHead {
  double exponent = 0, weight_exponent = 0, loss = 0, plain_loss = 0, seconds = 0;
  int64_t factors = 0;  // that follow, and then the note
};

std::vector<std::byte> serialize(const StageScales& stage) {
  const ChannelScales& scales = stage.scales;
  const RecordHead head{scales.exponent, scales.weight_exponent,
                        scales.loss,     scales.plain_loss,
                        stage.seconds,   static_cast<int64_t>(scales.factors.size())};
  std::vector<std::byte> bytes;
  const auto add = [&](std::span<const std::byte> more) {
    bytes.insert(bytes.end(), more.begin(), more.end());
  };
  add(std::as_bytes(std::span(&head, 1)));
  add(std::as_bytes(std::span(scales.factors)));
  add(std::as_bytes(std::span(stage.note)));
  return bytes;
}

StageScales deserialize(const StageId& id, std::span<const std::byte> bytes, int64_t inputs) {
  RecordHead head;
  if (bytes.size() >= sizeof head) std::memcpy(&head, bytes.data(), sizeof head);
  const size_t size = head.factors == inputs ? static_cast<size_t>(inputs) * sizeof(float) : 0;
  if (bytes.size() < sizeof head + size || (head.factors != 0 && size == 0))
    throw bad_input("journal: a record of channel scales does not have the size of its stage")
        .hint("start again with --force.");
  const std::span<const std::byte> note = bytes.subspan(sizeof head + size);
  StageScales stage{.id = id,
                    .scales = {{}, head.exponent, head.weight_exponent, head.loss, head.plain_loss},
                    .note = {reinterpret_cast<const char*>(note.data()), note.size()},
                    .seconds = head.seconds};
  stage.scales.factors.resize(static_cast<size_t>(head.factors));
  if (size > 0) std::memcpy(stage.scales.factors.data(), bytes.data() + sizeof head, size);
  return stage;
}

int64_t layers_of(const ChannelScalingInput& input) {
  return input.layers > 0 ? input.layers : input.model.config().layers;
}

std::vector<StageId> stages_of(const ChannelScalingInput& input) {
  std::vector<StageId> stages;
  for (int layer = 0; layer < layers_of(input); ++layer)
    for (int s = 0; s < kStages; ++s) stages.push_back({layer, static_cast<Stage>(s)});
  // A probe of some layers leaves the head out.
  if (input.layers == 0 && !rows_of(input.plan, kHeadStage).empty()) stages.push_back(kHeadStage);
  return stages;
}

bool in_journal(const ChannelScalingInput& input, const std::string& name) {
  return input.journal && input.journal->has(name);
}

// As the journal has it.
StageScales read_stage(const ChannelScalingInput& input, const StageId& id) {
  const int64_t inputs =
      input.model.tensors->shape(linears_of(*input.model.tensors, id).front()).second;
  const std::string name = scales_name(input.plan, id, input.calibration);
  return deserialize(id, input.journal->read(name), inputs);
}

class ChannelScaler {
 public:
  explicit ChannelScaler(const ChannelScalingInput& input)
      : in_(input),
        provider_(make_provider(input.backend, *input.model.tensors,
                                {.compute = input.compute, .streamed = true})),
        forward_(input.backend, *input.model.tensors, *provider_, input.compute),
        budget_(input.activations),
        samples_(forward_, input.calibration.samples, budget_) {
    assert(input.later.empty() || input.journal != nullptr);
    forward_.set_profile(input.profile);
    for (const Plan* plan : input.later)
      if (same_factors(*plan, input.plan)) plans_.push_back(plan);
  }

  FoundScales run();

 private:
  // What is to be found at a stage, and what it is called in the journal.
  struct Search {
    const Plan* plan;
    std::string name;
  };
  std::vector<Search> searches_of(const StageId& id) const;
  // Brings every window to the input of `id`.
  std::optional<Hessian> approach(const StageId* done, const StageId& id, bool needs_hessian);
  StageScales search(const StageId& id, const Plan& plan, const Producer& producer,
                     const Factor& factor);
  std::vector<StageScales> search_all(const StageId& id, const std::vector<Search>& searches,
                                      Hessian hessian);
  // What the plan at hand has at this stage, which all windows have reached.
  void finish_stage(const StageId& id, const std::vector<Search>& searches,
                    std::optional<Hessian> hessian);
  Tensor sample(const PlanRow& row) const;
  void step(const StageId& id, int64_t window);

  const ChannelScalingInput& in_;
  std::unique_ptr<WeightProvider> provider_;
  Forward forward_;
  ActivationBudget budget_;
  WindowStream samples_;
  std::vector<const Plan*> plans_ = {&in_.plan};
  FoundScales found_;
  Clock::time_point since_ = Clock::now();  // the stage before was finished
};

// The plan at hand comes first. What it leaves dense is left to whoever does not: the memory was
// planned for it.
std::vector<ChannelScaler::Search> ChannelScaler::searches_of(const StageId& id) const {
  std::vector<Search> searches;
  if (rows_of(in_.plan, id).empty()) return searches;
  for (const Plan* plan : plans_) {
    if (rows_of(*plan, id).empty()) continue;
    const std::string name = scales_name(*plan, id, in_.calibration);
    if (!in_journal(in_, name) && !std::ranges::count(searches, name, &Search::name))
      searches.push_back({plan, name});
  }
  return searches;
}

void ChannelScaler::step(const StageId& id, int64_t window) {
  throw_if_interrupted();
  const int64_t last = layers_of(in_) * kStages;
  const auto before = static_cast<double>(stages_before(id, layers_of(in_)));
  const double within = static_cast<double>(window) / static_cast<double>(samples_.count());
  if (in_.on_step) in_.on_step((before + within) / static_cast<double>(last + 1), id);
}

std::optional<Hessian> ChannelScaler::approach(const StageId* done, const StageId& id,
                                               bool needs_hessian) {
  std::optional<Hessian> hessian;
  if (needs_hessian) hessian.emplace(in_.backend, forward_.input_width(id.stage));
  for (int64_t b = 0; b < samples_.count(); ++b) {
    const ConstView x = samples_.advance(b, done, id);
    if (hessian) {
      const double n = static_cast<double>(x.cols);
      const ProfileScope scope(in_.profile, "Hessians", static_cast<double>(x.rows) * n * (n + 1));
      hessian->accumulate(x);
    }
    step(id, b + 1);
  }
  return hessian;
}

// Evenly spaced rows of a weight.
Tensor ChannelScaler::sample(const PlanRow& row) const {
  const int64_t count = std::min(row.rows, kSampledRows);
  const Tensor host(in_.backend.host_allocator(), count, row.cols, DType::f32);
  in_.backend.host_threads().parallel_for(count, 16, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const int64_t at = i * row.rows / count;
      in_.model.tensors->read(row.key, at, at + 1, host.view().rows_of(i, i + 1));
    }
  });
  Tensor device = in_.backend.allocate(count, row.cols, DType::f32);
  in_.backend.upload(host, device);
  return device;
}

StageScales ChannelScaler::search(const StageId& id, const Plan& plan, const Producer& producer,
                                  const Factor& factor) {
  const ProfileScope scope(in_.profile, "channel scales");
  std::vector<Tensor> weights;
  std::vector<SampledLinear> linears;
  for (const PlanRow* row : rows_of(plan, id)) {
    weights.push_back(sample(*row));
    const auto rows = static_cast<double>(weights.back().rows());
    linears.push_back({weights.back(), static_cast<double>(row->rows) / rows, fit_of(plan, *row)});
  }
  StageScales found{
      .id = id,
      .scales = plan.method->transform(in_.backend, {factor, linears, producer.channel_of}),
      .note = ""};
  make_exact(in_.model, found);
  return found;
}

std::vector<StageScales> ChannelScaler::search_all(const StageId& id,
                                                   const std::vector<Search>& searches,
                                                   Hessian hessian) {
  const std::optional<Producer> producer = producer_of(*in_.model.tensors, id);
  std::optional<Factor> factor;
  std::string trouble = "nothing that could be divided by their scales makes their input";
  if (producer) {
    const ProfileScope scope(in_.profile, "factor");
    factor = Factor::compute(in_.backend, std::move(hessian), in_.plan.solver.order,
                             in_.plan.solver.damping);
    trouble = factor->usable() ? "" : factor->note;
  }
  const double seconds = seconds_since(since_);  // what each would take by itself
  std::vector<StageScales> found;
  for (const Search& wanted : searches) {
    throw_if_interrupted();
    const auto start = Clock::now();
    found.push_back(trouble.empty() ? search(id, *wanted.plan, *producer, *factor)
                                    : StageScales{.id = id, .scales = {}, .note = trouble});
    found.back().seconds = seconds + seconds_since(start);
    if (in_.journal) in_.journal->append(wanted.name, serialize(found.back()));
    if (wanted.plan != &in_.plan) found_.seconds_later += seconds_since(start);
  }
  return found;
}

void ChannelScaler::finish_stage(const StageId& id, const std::vector<Search>& searches,
                                 std::optional<Hessian> hessian) {
  std::vector<StageScales> found;
  if (!searches.empty()) {
    // Memory peaks in the factor of the widest input, which is the last stage's.
    if (id.stage == Stage::mlp_out) samples_.release_scratch();
    found = search_all(id, searches, std::move(*hessian));
  }
  if (!searches.empty() && searches.front().plan == &in_.plan) {
    found_.stages.push_back(std::move(found.front()));
  } else if (!rows_of(in_.plan, id).empty()) {
    found_.stages.push_back(read_stage(in_, id));
    found_.seconds_before += found_.stages.back().seconds;
  }
  since_ = Clock::now();
}

FoundScales ChannelScaler::run() {
  std::optional<StageId> done;
  for (const StageId& id : stages_of(in_)) {
    if (done && done->layer != id.layer) {
      for (int64_t b = 0; b < samples_.count(); ++b) samples_.finish_block(b, *done);
      provider_->release_layer(done->layer);
      done.reset();
    }
    const std::vector<Search> searches = searches_of(id);
    finish_stage(id, searches, approach(done ? &*done : nullptr, id, !searches.empty()));
    done = id;
  }
  return std::move(found_);
}

}  // namespace

FoundScales find_channel_scales(const ChannelScalingInput& input) {
  FoundScales kept;
  for (const StageId& id : stages_of(input)) {
    if (rows_of(input.plan, id).empty()) continue;
    if (!in_journal(input, scales_name(input.plan, id, input.calibration)))
      return ChannelScaler(input).run();
    kept.stages.push_back(read_stage(input, id));
    kept.seconds_before += kept.stages.back().seconds;
  }
  return kept;
}

namespace {

// The stages of a pass are told apart from the layers' own, and the head's, which no layer has.
void add_pass(const Profile& pass, const FoundScales& found, double seconds, Profile& whole) {
  double rest = seconds;
  for (const auto& [stage, row] : pass.rows()) {
    whole.add("find scales: " + stage, row);
    rest -= row.seconds;
  }
  for (const StageScales& stage : found.stages) {
    if (stage.id != kHeadStage) continue;
    whole.add("quantize head: find scales", {.seconds = stage.seconds, .calls = 1});
    rest -= stage.seconds;
  }
  whole.add("find scales", {.seconds = rest, .calls = 1});
}

}  // namespace

TransformedModel transform_model(const ChannelScalingInput& input, bool quiet) {
  TransformedModel transformed;
  if (input.plan.method->transform == nullptr) return transformed;
  const int64_t layers = input.model.config().layers;
  Progress progress("Scaling", 1, quiet);
  ChannelScalingInput shown = input;
  shown.on_step = [&](double fraction, const StageId& id) {
    progress.update(fraction, place_text(id, layers));
  };
  Profile pass;
  if (input.profile) shown.profile = &pass;
  const auto start = Clock::now();
  const FoundScales found = find_channel_scales(shown);
  if (input.profile) add_pass(pass, found, seconds_since(start), *input.profile);
  transformed.text = scaling_text(found.stages);
  transformed.model = scale_model(input.model, found.stages);
  transformed.seconds_before = found.seconds_before;
  transformed.seconds_later = found.seconds_later;
  progress.finish();
  return transformed;
}

}  // namespace halftone
