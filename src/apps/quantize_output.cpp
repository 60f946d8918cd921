// Streams the output: packed linears from the journal, everything else passed through as it is.
#include "apps/quantize_output.h"

#include <algorithm>
#include <filesystem>
#include <map>
#include <set>

#include "apps/dense_output.h"
#include "base/error.h"
#include "base/file.h"
#include "base/interrupt.h"
#include "model/forward.h"

namespace halftone {
namespace {

namespace fs = std::filesystem;

std::map<std::string, const PlanRow*> quantized_rows(const Plan& plan) {
  std::map<std::string, const PlanRow*> rows;
  for (const PlanRow& row : plan.rows)
    if (!row.method.empty()) rows[row.module + ".weight"] = &row;
  return rows;
}

void write_packed(const OutputInput& input, SafetensorsWriter& writer) {
  for (const StageRecord& stage : input.outcome.stages) {
    throw_if_interrupted();
    const StageRecord record = deserialize(input.journal.read(record_name(stage.id)));
    for (const FinishedLinear& linear : record.linears)
      for (const PackedTensor& packed :
           input.outcome.plan.format->pack(linear.module, linear.matrix))
        writer.write(packed.name, packed.data);
  }
}

std::vector<std::string> skipped_modules(const Plan& plan) {
  std::vector<std::string> skipped;
  for (const PlanRow& row : plan.rows)
    if (row.method.empty()) skipped.push_back(row.module);
  return skipped;
}

void write_configuration(const OutputInput& input, const std::string& directory) {
  const Plan& plan = input.outcome.plan;
  const Json quantization =
      plan.format->configuration({.grid = plan.rows.front().grid,
                                  .damping = plan.solver.damping,
                                  .act_order = plan.solver.order == ColumnOrder::activation,
                                  .method = std::string(plan.method->name),
                                  .skipped = skipped_modules(plan)});
  Json config = input.model.checkpoint->metadata().config;
  config["quantization_config"] = quantization;
  write_file_atomically(directory + "/config.json", config.dump(2) + "\n");
  for (const std::string_view name : plan.format->side_files())
    write_file_atomically(directory + "/" + std::string(name), quantization.dump(2) + "\n");
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
  const auto quantized = quantized_rows(plan);
  std::vector<TensorPlan> tensors;
  for (const auto& [name, row] : quantized)
    for (TensorPlan& packed :
         plan.format->packed_plan(row->module, row->grid, row->rows, row->cols))
      tensors.push_back(std::move(packed));
  const DenseOutput dense(input.model,
                          [&](const std::string& name) { return !quantized.contains(name); });
  dense.plan(tensors);

  SafetensorsWriter writer(directory, tensors);
  write_packed(input, writer);
  dense.write(writer);
  const std::vector<std::string> files = writer.finish();

  write_side_files(*input.model.checkpoint, directory);
  write_configuration(input, directory);
  write_file_atomically(directory + "/quantize.toml",
                        reproduction_config(input.options, input.model.checkpoint->path()));
  write_file_atomically(directory + "/README.md", model_card(input));
  int64_t bytes = 0;
  for (const std::string& file : files)
    if (file.ends_with(".safetensors")) bytes += static_cast<int64_t>(fs::file_size(file));
  return bytes;
}

void verify_output(Backend& backend, const OutputInput& input, const std::string& directory,
                   std::span<const int32_t> ids, DType compute) {
  const OpenedModel written = open_model(directory);
  for (const StageRecord& stage : input.outcome.stages) {
    const StageRecord record = deserialize(input.journal.read(record_name(stage.id)));
    for (const FinishedLinear& linear : record.linears) {
      const auto reread = written.source->quantized(linear.module + ".weight");
      if (!reread) throw internal_error("{}: not quantized when read back", linear.module);
      compare(linear.module, linear.matrix, *reread);
    }
  }
  check_forward(backend, written, ids, compute);
}

}  // namespace halftone
