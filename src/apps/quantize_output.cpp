// What stands beside the weights, and the forward over what was written.
#include "apps/quantize_output.h"

#include <algorithm>

#include "apps/dynamic_rules.h"
#include "apps/side_files.h"
#include "base/error.h"
#include "base/file.h"
#include "model/forward.h"

namespace halftone {
namespace {

void check_forward(Backend& backend, const OpenedModel& written, std::span<const int32_t> ids,
                   DType compute) {
  const auto provider =
      make_provider(backend, *written.tensors, {.compute = compute, .streamed = true});
  Forward forward(backend, *written.tensors, *provider, compute);
  Batch batch = make_batch(ids, static_cast<int64_t>(ids.size()));
  batch.logit_rows = {batch.tokens() - 1};
  const Tensor residual = forward.run(batch);
  const int64_t vocab = written.config().vocab;
  const Tensor logits = backend.allocate(1, vocab, DType::f32);
  forward.logits(batch, residual, logits);
  const Tensor read(backend.host_allocator(), 1, vocab, DType::f32);
  backend.download(logits, read);
  const float* values = read.row<float>(0);
  if (!std::all_of(values, values + vocab, [](float v) { return std::isfinite(v); }))
    throw bad_input("the quantized model's logits are not finite")
        .hint("try --dtype f32, or --skip the module with the largest error in the log.");
}

}  // namespace

int64_t write_output(const OutputInput& input, OutputStream& weights,
                     const std::string& directory) {
  const int64_t bytes = weights.finish();
  write_side_files(*input.model.checkpoint, directory);
  write_file_atomically(directory + "/quantize.toml",
                        reproduction_config(input.options, input.model));
  if (!input.options.dynamic.empty())
    write_file_atomically(directory + "/dynamic.json",
                          DynamicRules::read(input.options.dynamic).dump(2) + "\n");
  write_file_atomically(directory + "/README.md", model_card(input));
  return bytes;
}

void verify_output(const OutputInput& input, const std::string& directory,
                   std::span<const int32_t> ids, DType compute) {
  check_forward(input.backend, open_model(directory), ids, compute);
}

}  // namespace halftone
