#include "apps/scaled_output.h"

#include <fmt/core.h>

#include "apps/calibration.h"
#include "apps/side_files.h"
#include "apps/token_scores.h"
#include "base/file.h"
#include "base/interrupt.h"
#include "format/model_writer.h"
#include "model/forward.h"

namespace halftone {
namespace {

// A model with a provider and a forward pass of its own, a layer in memory at a time.
struct StreamedModel {
  StreamedModel(Backend& backend, const OpenedModel& model, DType compute)
      : weights(make_provider(backend, *model.tensors, {.compute = compute, .streamed = true})),
        forward(backend, *model.tensors, *weights, compute) {}
  std::unique_ptr<WeightProvider> weights;
  Forward forward;
};

std::string card(const OutputInput& input) {
  const QuantizeOutcome& outcome = input.outcome;
  return fmt::format(
      "---\nlibrary_name: transformers\ntags:\n- halftone\n---\n# {}, channels scaled\n\n"
      "Made by Halftone from `{}`: a dense model that computes the same, and whose weights "
      "rounding to {} hurts less ({}).\n\n"
      "- {}\n- searched on {}, SHA-256 of the text {}\n"
      "- SHA-256 of the original's tensors and configuration {}\n"
      "- the same again: `halftone quantize --config quantize.toml -o OUT`\n",
      input.model.name(), input.model.name(), outcome.plan.grid_text(), outcome.plan.method->name,
      outcome.scaling, outcome.samples_text, outcome.calibration_sha256, outcome.model_fingerprint);
}

}  // namespace

int64_t write_scaled_model(const OutputInput& input, const std::string& directory) {
  OutputSpec spec{.checkpoint = *input.model.checkpoint,
                  .source = *input.model.source,
                  .directory = directory,
                  .summary = {},
                  .dense = {}};
  spec.max_shard_bytes = input.options.max_shard_bytes;
  const int64_t bytes = write_dense_model(spec, input.backend.host_threads());
  write_side_files(*input.model.checkpoint, directory);
  write_file_atomically(directory + "/quantize.toml",
                        reproduction_config(input.options, input.model));
  write_file_atomically(directory + "/README.md", card(input));
  return bytes;
}

HeldOutLoss compare_models(Backend& backend, const OpenedModel& original,
                           const OpenedModel& written, const Windows& windows, DType compute) {
  if (windows.count() == 0) return {};
  StreamedModel model(backend, written, compute), base(backend, original, compute);
  TokenScores scores;
  for (int64_t i = 0; i < windows.count(); ++i) {
    throw_if_interrupted();
    const Batch batch = make_batch(windows.sequence(i), windows.length_of(i));
    const Tensor residual = model.forward.run(batch), base_residual = base.forward.run(batch);
    score_rows({.forward = &model.forward, .residual = residual},
               {.forward = &base.forward, .residual = base_residual},
               std::span(batch.logit_rows).first(batch.ids.size() - 1),
               std::span(batch.ids).subspan(1), scores);
  }
  return held_out_loss(scores, windows, "scaled");
}

}  // namespace halftone
