// Streams the output: packed linears from the journal, everything else passed through as it is.
#include "apps/quantize_output.h"

#include <algorithm>

#include "apps/dynamic_rules.h"
#include "apps/side_files.h"
#include "base/error.h"
#include "base/file.h"
#include "base/interrupt.h"
#include "base/thread_pool.h"
#include "model/forward.h"

namespace halftone {
namespace {

// Stages whose matrices may be in memory at a time: a record's bytes, its codes, those packed or
// reread and what packing needs are four bytes a weight, and an eighth of the memory is theirs.
int64_t stages_at_once(const OutputInput& input) {
  int64_t largest = 1;
  for (const StageRecord& stage : input.outcome.stages) {
    int64_t weights = 0;
    for (const FinishedLinear& linear : stage.linears)
      weights += linear.matrix.rows * linear.matrix.cols;
    largest = std::max(largest, weights);
  }
  const int64_t room = input.backend.host_allocator().limit() / 8;
  return std::clamp<int64_t>(room / (4 * largest), 1, input.backend.host_threads().size());
}

// Calls body(record) for every finished stage as the journal holds it, on all threads.
template <class Body>
void for_stages(const OutputInput& input, Body body) {
  const std::vector<StageRecord>& stages = input.outcome.stages;
  const auto count = static_cast<int64_t>(stages.size());
  const int64_t at_once = stages_at_once(input);
  input.backend.host_threads().parallel_for(at_once, 1, [&](int64_t first, int64_t) {
    for (int64_t i = first; i < count; i += at_once) {
      throw_if_interrupted();
      body(deserialize(input.journal.read(record_name(stages[static_cast<size_t>(i)].id))));
    }
  });
}

void write_packed(const OutputInput& input, ModelWriter& writer) {
  for_stages(input, [&](const StageRecord& record) {
    for (const FinishedLinear& linear : record.linears) writer.write(linear.module, linear.matrix);
  });
}

// A matrix read back, against the one that was solved.
void compare(const std::string& name, const QuantizedMatrix& expected, const QuantizedMatrix& got) {
  if (expected.rows != got.rows || expected.cols != got.cols)
    throw internal_error("{}: reread as [{}, {}], written as [{}, {}]", name, got.rows, got.cols,
                         expected.rows, expected.cols);
  if (expected.codes != got.codes) throw internal_error("{}: codes differ when read back", name);
  if (expected.zeros != got.zeros) throw internal_error("{}: zeros differ when read back", name);
  if (expected.scales != got.scales) throw internal_error("{}: scales differ when read back", name);
}

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

int64_t write_output(const OutputInput& input, const std::string& directory) {
  const Plan& plan = input.outcome.plan;
  OutputSpec spec{.checkpoint = *input.model.checkpoint,
                  .source = *input.model.source,
                  .directory = directory,
                  .summary = plan.summary()};
  if (input.options.max_shard_bytes > 0) spec.max_shard_bytes = input.options.max_shard_bytes;
  const auto writer = plan.format->open_writer(*plan.format, spec);
  write_packed(input, *writer);
  const int64_t bytes = writer->finish();
  write_side_files(*input.model.checkpoint, directory);
  write_file_atomically(directory + "/quantize.toml",
                        reproduction_config(input.options, input.model.checkpoint->path()));
  if (!input.options.dynamic.empty())
    write_file_atomically(directory + "/dynamic.json",
                          DynamicRules::read(input.options.dynamic).dump(2) + "\n");
  write_file_atomically(directory + "/README.md", model_card(input));
  return bytes;
}

void verify_output(const OutputInput& input, const std::string& directory,
                   std::span<const int32_t> ids, DType compute) {
  const OpenedModel written = open_model(directory);
  for_stages(input, [&](const StageRecord& record) {
    for (const FinishedLinear& linear : record.linears) {
      const auto reread = written.source->quantized(linear.module + ".weight");
      if (!reread) throw internal_error("{}: not quantized when read back", linear.module);
      compare(linear.module, linear.matrix, *reread);
    }
  });
  check_forward(input.backend, written, ids, compute);
}

}  // namespace halftone
