// One pass over the calibration windows through the dense model: a Hessian a stage, its factor, the
// method's search. Factors change nothing that a later stage sees, so each is found by itself.
#include "apps/channel_scaling.h"

#include <algorithm>
#include <cstring>
#include <optional>

#include "apps/stage_record.h"
#include "apps/window_stream.h"
#include "base/error.h"
#include "base/interrupt.h"
#include "base/log.h"
#include "base/progress.h"
#include "model/producer.h"
#include "quant/factor.h"
#include "quant/fit_scales.h"

namespace halftone {
namespace {

std::string scales_name(const StageId& id) { return "scales of " + record_name(id); }

struct RecordHead {
  double exponent = 0, weight_exponent = 0, loss = 0, plain_loss = 0;
};

std::vector<std::byte> serialize(const ChannelScales& scales) {
  const RecordHead head{scales.exponent, scales.weight_exponent, scales.loss, scales.plain_loss};
  const size_t size = scales.factors.size() * sizeof(float);
  std::vector<std::byte> bytes(sizeof head + size);
  std::memcpy(bytes.data(), &head, sizeof head);
  if (size > 0) std::memcpy(bytes.data() + sizeof head, scales.factors.data(), size);
  return bytes;
}

ChannelScales deserialize_scales(const std::vector<std::byte>& bytes, int64_t inputs) {
  RecordHead head;
  const size_t size = static_cast<size_t>(inputs) * sizeof(float);
  if (bytes.size() != sizeof head && bytes.size() != sizeof head + size)
    throw bad_input("journal: a record of channel scales does not have the size of its stage")
        .hint("start again with --force.");
  std::memcpy(&head, bytes.data(), sizeof head);
  ChannelScales scales{{}, head.exponent, head.weight_exponent, head.loss, head.plain_loss};
  scales.factors.resize((bytes.size() - sizeof head) / sizeof(float));
  if (!scales.factors.empty()) std::memcpy(scales.factors.data(), bytes.data() + sizeof head, size);
  return scales;
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

bool in_journal(const ChannelScalingInput& input, const StageId& id) {
  return input.journal && input.journal->has(scales_name(id));
}

// As the journal has it.
StageScales read_stage(const ChannelScalingInput& input, const StageId& id) {
  const int64_t inputs =
      input.model.tensors->shape(linears_of(*input.model.tensors, id).front()).second;
  return {id, deserialize_scales(input.journal->read(scales_name(id)), inputs), ""};
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
    forward_.set_profile(input.profile);
  }

  std::vector<StageScales> run();

 private:
  // Brings every window to the input of `id`.
  std::optional<Hessian> approach(const StageId* done, const StageId& id, bool needs_hessian);
  StageScales search(const StageId& id, Hessian hessian);
  Tensor sample(const PlanRow& row) const;
  void step(const StageId& id, int64_t window);

  const ChannelScalingInput& in_;
  std::unique_ptr<WeightProvider> provider_;
  Forward forward_;
  ActivationBudget budget_;
  WindowStream samples_;
};

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

StageScales ChannelScaler::search(const StageId& id, Hessian hessian) {
  const ModelTensors& tensors = *in_.model.tensors;
  const std::optional<Producer> producer = producer_of(tensors, id);
  if (!producer) return {id, {}, "nothing that could be divided by their scales makes their input"};
  std::optional<Factor> factor;
  {
    const ProfileScope scope(in_.profile, "factor");
    factor = Factor::compute(in_.backend, std::move(hessian), in_.plan.solver.order,
                             in_.plan.solver.damping);
  }
  if (!factor->usable()) return {id, {}, factor->note};
  const ProfileScope scope(in_.profile, "channel scales");
  std::vector<Tensor> weights;
  std::vector<SampledLinear> linears;
  for (const PlanRow* row : rows_of(in_.plan, id)) {
    weights.push_back(sample(*row));
    GridFit fit = in_.plan.solver.fit;
    fit.grid = row->grid;
    if (in_.plan.solver.clip && fits_on_device(row->grid))
      fit.search = ScaleSearch::minmax;  // clipping comes afterwards
    const auto rows = static_cast<double>(weights.back().rows());
    linears.push_back({weights.back(), static_cast<double>(row->rows) / rows, fit});
  }
  StageScales found{
      id, in_.plan.method->transform(in_.backend, {*factor, linears, producer->channel_of}), ""};
  make_exact(in_.model, found);
  return found;
}

std::vector<StageScales> ChannelScaler::run() {
  std::vector<StageScales> found;
  std::optional<StageId> done;
  for (const StageId& id : stages_of(in_)) {
    if (done && done->layer != id.layer) {
      for (int64_t b = 0; b < samples_.count(); ++b) samples_.finish_block(b, *done);
      provider_->release_layer(done->layer);
      done.reset();
    }
    const StageId* before = done ? &*done : nullptr;
    const bool wanted = !rows_of(in_.plan, id).empty(), kept = in_journal(in_, id);
    std::optional<Hessian> hessian = approach(before, id, wanted && !kept);
    if (wanted && kept) {
      found.push_back(read_stage(in_, id));
    } else if (wanted) {
      // Memory peaks in the factor of the widest input, which is the last stage's.
      if (id.stage == Stage::mlp_out) samples_.release_scratch();
      found.push_back(search(id, std::move(*hessian)));
      if (in_.journal) in_.journal->append(scales_name(id), serialize(found.back().scales));
    }
    done = id;
  }
  return found;
}

}  // namespace

std::vector<StageScales> find_channel_scales(const ChannelScalingInput& input) {
  std::vector<StageScales> kept;
  bool whole = true;
  for (const StageId& id : stages_of(input)) {
    if (rows_of(input.plan, id).empty()) continue;
    whole = whole && in_journal(input, id);
    if (whole) kept.push_back(read_stage(input, id));
  }
  return whole ? kept : ChannelScaler(input).run();
}

TransformedModel transform_model(const ChannelScalingInput& input, bool quiet) {
  TransformedModel transformed;
  if (input.plan.method->transform == nullptr) return transformed;
  const int64_t layers = input.model.config().layers;
  Progress progress("Scaling", 1, quiet);
  ChannelScalingInput shown = input;
  shown.on_step = [&](double fraction, const StageId& id) {
    progress.update(fraction, place_text(id, layers));
  };
  const std::vector<StageScales> stages = find_channel_scales(shown);
  transformed.text = scaling_text(stages);
  transformed.model = scale_model(input.model, stages);
  progress.finish();
  return transformed;
}

}  // namespace halftone
