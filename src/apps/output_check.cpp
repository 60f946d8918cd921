#include "apps/output_check.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "base/error.h"
#include "base/interrupt.h"

namespace halftone {
namespace {

Batch batch_of(std::span<const int32_t> ids) {
  Batch batch = make_batch(ids, static_cast<int64_t>(ids.size()));
  batch.logit_rows = {batch.tokens() - 1};
  return batch;
}

std::vector<TensorKey> linears_of(const ModelTensors& tensors, int layer) {
  std::vector<TensorKey> keys;
  for (const TensorKey& key : tensors.keys())
    if (key.layer == layer && key.part == Part::weight && is_linear(key.role)) keys.push_back(key);
  return keys;
}

}  // namespace

OutputCheck::Written::Written(Backend& backend, const std::string& directory, DType compute)
    : model(open_model(directory)),
      weights(make_provider(backend, *model.tensors, {.compute = compute, .streamed = true})),
      forward(backend, *model.tensors, *weights, compute) {}

OutputCheck::OutputCheck(Backend& backend, const OutputStream& weights, std::string directory,
                         std::vector<int32_t> ids, DType compute)
    : backend_(backend),
      weights_(weights),
      directory_(std::move(directory)),
      compute_(compute),
      batch_(batch_of(ids)) {}

void OutputCheck::run_next(Written& written) {
  const int64_t hidden = written.model.config().hidden;
  if (residual_.empty()) {
    residual_ = backend_.allocate(batch_.tokens(), hidden, DType::f32);
    written.forward.embed(batch_, residual_);
  }
  Tensor next = backend_.allocate(batch_.tokens(), hidden, DType::f32);
  written.forward.block(next_, batch_, residual_, next);
  residual_ = std::move(next);
  written.forward.release_scratch();
  written.weights->release_layer(next_++);
  sent_for_ = false;
}

void OutputCheck::beside(const StageId& stage, bool solving) {
  if (!backend_.runs_beside_host() || stage.stage != Stage::mlp_out) return;
  if (!solving && weights_.layers_compared() > next_) {
    if (!written_) written_ = std::make_unique<Written>(backend_, directory_, compute_);
    written_->weights->prefetch(linears_of(*written_->model.tensors, next_));
    sent_for_ = true;
  } else if (solving && sent_for_) {
    run_next(*written_);
  }
}

void OutputCheck::finish(Profile* profile) {
  const ProfileScope scope(profile, "verify head");
  written_.reset();
  Written written(backend_, directory_, compute_);
  while (next_ < written.model.config().layers) {
    throw_if_interrupted();
    const ProfileScope layer(profile, "verify");
    run_next(written);
  }
  check_logits(written);
}

void OutputCheck::check_logits(Written& written) {
  const int64_t vocab = written.model.config().vocab;
  const Tensor logits = backend_.allocate(1, vocab, DType::f32);
  written.forward.logits(batch_, residual_, logits);
  const Tensor read(backend_.host_allocator(), 1, vocab, DType::f32);
  backend_.download(logits, read);
  const float* values = read.row<float>(0);
  if (!std::all_of(values, values + vocab, [](float v) { return std::isfinite(v); }))
    throw bad_input("the quantized model's logits are not finite")
        .hint("try --dtype f32, or --skip the module with the largest error in the log.");
}

}  // namespace halftone
