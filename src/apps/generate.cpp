// Prefill the prompt, then one token a step.
#include "apps/generate.h"

#include <algorithm>

#include "apps/load_weights.h"
#include "base/clock.h"
#include "base/count_text.h"
#include "base/error.h"
#include "base/interrupt.h"
#include "base/log.h"
#include "model/forward.h"
#include "model/stop_tokens.h"
#include "text/tokenizer.h"
#include "text/unicode.h"

namespace halftone {
namespace {

std::vector<int32_t> prompt_ids(const Tokenizer& tokenizer, const OpenedModel& model,
                                const std::string& prompt, int64_t wanted) {
  if (const auto invalid = find_invalid_utf8(prompt))
    spdlog::warn("--prompt: not UTF-8 (byte {}): what is broken becomes U+FFFD", *invalid);
  std::vector<int32_t> ids = tokenizer.encode(prompt, true);
  if (ids.empty())
    throw usage_error("--prompt is empty").hint("give the model something to go on from.");
  const int64_t positions = model.config().max_positions;
  const int64_t needed = static_cast<int64_t>(ids.size()) + wanted;
  if (positions > 0 && needed > positions)
    throw usage_error("prompt of {} and -n {}: the model has {} positions",
                      count_text(static_cast<int64_t>(ids.size()), "token"), wanted,
                      human_count(positions))
        .hint("shorten the prompt, or ask for fewer tokens.");
  if (const auto bad = std::find_if(ids.begin(), ids.end(),
                                    [&](int32_t id) { return id >= model.config().vocab; });
      bad != ids.end())
    throw bad_input("{}: the tokenizer gives id {}, the model's vocab_size is {}", model.name(),
                    *bad, model.config().vocab);
  return ids;
}

// A text that nothing but its length ends looks like a model that is broken.
void warn_of_no_stop(const OpenedModel& model) {
  const StopTokens stop = read_stop_tokens(model.checkpoint->metadata(), model.config().vocab);
  if (stop.ids.empty() && !stop.outside.empty())
    spdlog::warn("{}: nothing but -n ends the text", stop.outside);
}

// The ids go in at the cache's end; returns the logits of the last one, on the host.
class Stepper {
 public:
  Stepper(Backend& backend, Forward& forward, KvCache& cache)
      : backend_(backend),
        forward_(forward),
        cache_(cache),
        logits_(backend.allocate(1, forward.config().vocab, DType::f32)),
        read_(backend.host_allocator(), 1, forward.config().vocab, DType::f32) {}

  std::span<const float> step(const std::vector<int32_t>& ids) {
    Batch batch;
    batch.ids = ids;
    batch.starts = {0, batch.tokens()};
    for (int64_t i = 0; i < batch.tokens(); ++i)
      batch.positions.push_back(static_cast<int32_t>(cache_.length(0) + i));
    batch.logit_rows = {batch.tokens() - 1};
    batch.cache = &cache_;
    const Tensor residual = forward_.run(batch);
    forward_.logits(batch, residual, logits_);
    backend_.download(logits_, read_);
    return {read_.row<float>(0), static_cast<size_t>(read_.cols())};
  }

 private:
  Backend& backend_;
  Forward& forward_;
  KvCache& cache_;
  Tensor logits_, read_;
};

}  // namespace

Generation generate(Backend& backend, const OpenedModel& model, const std::string& prompt,
                    const GenerateOptions& options,
                    const std::function<void(const std::string&)>& on_text) {
  const Tokenizer tokenizer = Tokenizer::load(model.checkpoint->metadata());
  const std::vector<int32_t> ids = prompt_ids(tokenizer, model, prompt, options.tokens);
  warn_of_no_stop(model);
  const ModelConfig& config = model.config();
  const DType compute = compute_dtype(options.dtype, backend);
  const auto provider = load_weights(backend, model, compute, options.quiet);
  Forward forward(backend, *model.tensors, *provider, compute);
  KvCache cache(backend, config.layers, 1, static_cast<int64_t>(ids.size()) + options.tokens,
                config.kv_heads * config.head_dim, compute);
  Stepper stepper(backend, forward, cache);
  Sampler sampler(options.sampler);
  StreamDecoder decoder(tokenizer);

  Generation result;
  result.prompt_tokens = static_cast<int64_t>(ids.size());
  auto start = Clock::now();
  std::span<const float> logits = stepper.step(ids);
  result.prompt_seconds = seconds_since(start);
  start = Clock::now();
  const auto emit = [&](const std::string& text) {
    result.text += text;
    if (on_text && !text.empty()) on_text(text);
  };
  while (result.tokens < options.tokens) {
    throw_if_interrupted();
    const int32_t id = sampler.sample(logits);
    if (std::find(config.eos.begin(), config.eos.end(), id) != config.eos.end()) {
      result.stopped = true;
      break;
    }
    ++result.tokens;
    emit(decoder.push(id));
    if (result.tokens < options.tokens) logits = stepper.step({id});
  }
  emit(decoder.finish());
  result.seconds = seconds_since(start);
  return result;
}

}  // namespace halftone
