// Dense safetensors out of anything; packed formats out of codes. Published by one rename.
#include "apps/convert.h"

#include <algorithm>
#include <map>

#include "apps/quantize.h"
#include "apps/side_files.h"
#include "backend/backend.h"
#include "base/error.h"
#include "base/file.h"
#include "base/interrupt.h"
#include "format/model_writer.h"
#include "quant/grid.h"
#include "quant/rtn.h"

namespace halftone {
namespace {

std::optional<DType> dense_dtype(const std::string& option) {
  if (option == "bf16") return DType::bf16;
  if (option == "f16") return DType::f16;
  if (option == "f32") return DType::f32;
  return std::nullopt;
}

OutputSpec output_spec(const OpenedModel& model, const ConvertOptions& options,
                       const std::string& directory) {
  OutputSpec spec{.checkpoint = *model.checkpoint,
                  .source = *model.source,
                  .directory = directory,
                  .dense = dense_dtype(options.dtype)};
  if (options.max_shard_bytes > 0) spec.max_shard_bytes = options.max_shard_bytes;
  return spec;
}

constexpr int64_t kValuesAtOnce = int64_t{1} << 18;  // that one thread reads

// Matrices of codes, from the source's format into another.
class Repacker {
 public:
  // `backend` computes on the host.
  Repacker(Backend& backend, const OpenedModel& model, const Format& format,
           const ConvertOptions& options)
      : backend_(backend), model_(model), format_(format), options_(options) {
    for (const TensorKey& key : model.tensors->keys())
      if (key.part == Part::weight) roles_[model.tensors->name(key)] = key.role;
  }

  QuantizationSummary plan() const;
  // Returns how many were rounded again.
  int64_t write(const std::vector<const PlannedModule*>& modules, ModelWriter& writer) const;

 private:
  PlannedModule plan_module(const StoredTensor& stored, const std::string& module, Role role) const;
  // The codes as they are, from any thread; false: to be rounded again.
  bool repack(const PlannedModule& module, ModelWriter& writer) const;
  QuantizedMatrix requantize(const PlannedModule& module) const;
  [[noreturn]] void refuse(const std::string& module, const std::string& why) const;

  Backend& backend_;
  const OpenedModel& model_;
  const Format& format_;
  const ConvertOptions& options_;
  std::map<std::string, Role> roles_;  // by tensor
};

void Repacker::refuse(const std::string& module, const std::string& why) const {
  throw usage_error("{}: --format {} cannot hold it as it is: {}", module, format_.name, why)
      .hint("pass --requantize to round it again, or quantize the original to that format.");
}

PlannedModule Repacker::plan_module(const StoredTensor& stored, const std::string& module,
                                    Role role) const {
  PlannedModule planned{module, role, stored.rows, stored.cols, {}, !stored.quantized};
  if (planned.skipped) return planned;
  if (!stored.grid && !options_.requantize)
    refuse(module,
           fmt::format("{} has no scale and zero of its own for each group", stored.encoding));
  planned.grid = format_.grid(stored.grid.value_or(Grid{.group_size = 32, .symmetric = false}));
  check_grid(planned.grid, stored.rows, stored.cols, module);
  if (stored.permuted && !options_.requantize && !format_.name.starts_with("gptq"))
    refuse(module, "its groups are scattered (act-order g_idx)");
  return planned;
}

QuantizationSummary Repacker::plan() const {
  QuantizationSummary summary;
  for (const StoredTensor& stored : model_.source->tensors()) {
    const auto role = roles_.find(stored.name);
    if (role == roles_.end() || !stored.name.ends_with(".weight")) continue;
    const bool linear = is_linear(role->second);
    // Tables are codes in mlx alone; elsewhere they become dense.
    const bool table = stored.quantized && (role->second == Role::head ||
                                            (role->second == Role::embed && format_.name == "mlx"));
    if (!linear && !table) continue;
    const std::string module = stored.name.substr(0, stored.name.size() - 7);
    summary.modules.push_back(plan_module(stored, module, role->second));
    summary.scattered_groups |= stored.permuted && format_.name.starts_with("gptq");
  }
  format_.check(summary.modules);
  return summary;
}

// Round to nearest needs no other row: all threads work on one matrix, of which one copy is held.
QuantizedMatrix Repacker::requantize(const PlannedModule& module) const {
  const Tensor weight = backend_.allocate(module.rows, module.cols, DType::f32);
  const int64_t grain = std::max<int64_t>(1, kValuesAtOnce / module.cols);
  backend_.host_threads().parallel_for(module.rows, grain, [&](int64_t begin, int64_t end) {
    model_.source->read(module.name + ".weight", begin, end, weight.view().rows_of(begin, end));
  });
  SolverOptions options;
  options.fit.grid = module.grid;
  const SolveResult result = solve_rtn(backend_, weight, nullptr, options);
  return result.matrix.download(backend_);
}

bool Repacker::repack(const PlannedModule& module, ModelWriter& writer) const {
  throw_if_interrupted();
  auto matrix = model_.source->quantized(module.name + ".weight");
  std::string why = "its grid is not a scale and a zero a group";
  if (matrix) {
    matrix->grid = module.grid;
    why = format_.obstacle(*matrix);
    if (why.empty()) {
      writer.write(module.name, *matrix);
      return true;
    }
  }
  if (!options_.requantize) refuse(module.name, why);
  return false;
}

int64_t Repacker::write(const std::vector<const PlannedModule*>& modules,
                        ModelWriter& writer) const {
  std::vector<char> repacked(modules.size());
  backend_.host_threads().parallel_for(
      static_cast<int64_t>(modules.size()), 1, [&](int64_t begin, int64_t end) {
        for (auto i = static_cast<size_t>(begin); i < static_cast<size_t>(end); ++i)
          repacked[i] = repack(*modules[i], writer);
      });
  int64_t requantized = 0;
  for (size_t i = 0; i < modules.size(); ++i) {
    if (repacked[i]) continue;
    throw_if_interrupted();
    writer.write(modules[i]->name, requantize(*modules[i]));
    ++requantized;
  }
  return requantized;
}

ConvertOutcome convert_codes(const OpenedModel& model, const ConvertOptions& options) {
  if (!model.quantized())
    throw usage_error("{}: is not quantized, and --format {} holds codes", model.name(),
                      options.format)
        .hint(fmt::format("halftone quantize {} -o OUT --format {}", model.checkpoint->path(),
                          options.format));
  const Format& format = find_format(options.format);
  const auto backend = make_backend("cpu", {.threads = options.threads});
  const Repacker repacker(*backend, model, format, options);
  PendingDirectory pending(options.output);
  OutputSpec spec = output_spec(model, options, pending.path());
  spec.summary = repacker.plan();
  const auto writer = format.open_writer(format, spec);
  std::vector<const PlannedModule*> modules;
  for (const PlannedModule& module : spec.summary.modules)
    if (!module.skipped) modules.push_back(&module);
  ConvertOutcome outcome;
  outcome.requantized = repacker.write(modules, *writer);
  outcome.bytes = writer->finish();
  outcome.repacked = static_cast<int64_t>(modules.size()) - outcome.requantized;
  outcome.readers = format.readers(spec.summary.modules);
  write_side_files(*model.checkpoint, pending.path());
  pending.publish(options.force);
  return outcome;
}

ConvertOutcome convert_to_dense(const OpenedModel& model, const ConvertOptions& options) {
  PendingDirectory pending(options.output);
  OutputSpec spec = output_spec(model, options, pending.path());
  // Codes have no dense type of their own.
  if (!spec.dense && model.quantized()) spec.dense = DType::bf16;
  ConvertOutcome outcome;
  outcome.bytes = open_dense_writer(spec)->finish();
  write_side_files(*model.checkpoint, pending.path());
  pending.publish(options.force);
  return outcome;
}

}  // namespace

ConvertOutcome convert(const OpenedModel& model, const ConvertOptions& options) {
  check_place(options.output, model, options.force);
  if (options.format == "safetensors") return convert_to_dense(model, options);
  return convert_codes(model, options);
}

}  // namespace halftone
