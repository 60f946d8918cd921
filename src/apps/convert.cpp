// Dense safetensors out of anything; packed formats out of codes; a GGUF out of either. Published
// by one rename.
#include "apps/convert.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <map>

#include "apps/doctor_values.h"
#include "apps/gguf_contents.h"
#include "apps/label_check.h"
#include "apps/quantize.h"
#include "apps/round_matrix.h"
#include "apps/side_files.h"
#include "backend/backend.h"
#include "base/error.h"
#include "base/file.h"
#include "base/interrupt.h"
#include "base/log.h"
#include "base/shell_quote.h"
#include "format/fused_modules.h"
#include "format/ggml_grids.h"
#include "format/model_writer.h"
#include "format/open_weights.h"
#include "model/finite.h"
#include "quant/grid.h"

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
  spec.max_shard_bytes = options.max_shard_bytes;
  return spec;
}

// "4 bits in groups of 64", of a matrix or of what a format has for it.
std::string bits_text(const Grid& grid) {
  return fmt::format(
      "{} bits {}{}", grid.bits,
      grid.group_size < 0 ? "by rows" : fmt::format("in groups of {}", grid.group_size),
      grid.table == LevelTable::even ? "" : " with uneven levels");
}

// The same values as the grid has them, where only their spelling differs: groups, and zeros or
// offsets. Else the reason.
struct Adapted {
  std::optional<QuantizedMatrix> matrix;
  std::string obstacle;
};
Adapted adapt(QuantizedMatrix matrix, const Grid& grid, const Format& format) {
  const auto type = ggml_type_of(grid);
  const std::string other =
      fmt::format("it has {}, where {} has {}", bits_text(matrix.grid),
                  format.ggml_types && type ? *type : format.name, bits_text(grid));
  if (matrix.group_of.empty() && grid.group_size > 0) {
    const int64_t width = matrix.grid.group_width(matrix.cols);
    if (width != grid.group_size && width % grid.group_size == 0 && matrix.cols % width == 0)
      matrix = split_groups(matrix, grid.group_size);
  }
  auto respelled = grid.offsets ? with_offsets(matrix) : with_zeros(matrix);
  if (!respelled)
    return {{},
            grid.offsets ? "scale times zero would be rounded, and it stores the product"
                         : "its offsets are no multiples of its scales"};
  if (respelled->grid.bits != grid.bits || respelled->grid.table != grid.table) return {{}, other};
  if (respelled->grid.groups(matrix.cols) != grid.groups(matrix.cols)) return {{}, other};
  respelled->grid = grid;
  std::string obstacle = format.obstacle(*respelled);
  return {std::move(respelled), std::move(obstacle)};
}

void check_scales(const std::string& module, const QuantizedMatrix& matrix) {
  for (const std::vector<float>* values : {&matrix.scales, &matrix.offsets})
    for (size_t i = 0; i < values->size(); ++i)
      if (const float value = (*values)[i]; !std::isfinite(value))
        throw bad_input("{}: {} as the {} of row {}, group {}, expected finite values", module,
                        std::isnan(value) ? "NaN" : "an infinity",
                        values == &matrix.scales ? "scale" : "offset",
                        static_cast<int64_t>(i) / matrix.groups(),
                        static_cast<int64_t>(i) % matrix.groups())
            .hint("the file is damaged: quantize or fetch it again.");
}

// Matrices from one format into another: codes as they are where the target holds them, else
// rounded again; dense ones into a GGUF's types, to nearest.
class Repacker {
 public:
  // `backend` computes on the host.
  Repacker(Backend& backend, const OpenedModel& model, const Format& format,
           const ConvertOptions& options)
      : backend_(backend), model_(model), format_(format), options_(options) {
    for (const TensorKey& key : model.tensors->keys())
      if (key.part == Part::weight) keys_[model.tensors->name(key)] = key;
    if (format.ggml_types)
      types_.emplace(model, options.gguf,
                     options.gguf.type.empty() ? nullptr : &find_gguf_mix(options.gguf.type));
  }

  QuantizationSummary plan();
  // All modules that are not skipped; counts what became of them.
  void write(const std::vector<const PlannedModule*>& modules, ModelWriter& writer,
             ConvertOutcome& outcome) const;

 private:
  bool takes(const StoredTensor& stored, Role role) const;
  PlannedModule plan_module(const StoredTensor& stored, const std::string& module,
                            const TensorKey& key);
  Grid grid_for(const StoredTensor& stored, const std::string& module) const;
  // The format's, where it has room for such rows; none: it refuses.
  std::optional<Grid> held(const Grid& wanted, const StoredTensor& stored) const;
  Grid nearest_held(Grid wanted, const StoredTensor& stored) const;
  // The codes as they are, from any thread; false: to be rounded.
  bool repack(const PlannedModule& module, ModelWriter& writer) const;
  // Throws Error(bad_input) for what is not a number.
  void check_values(const StoredTensor& stored) const;
  [[noreturn]] void refuse(const std::string& module, const std::string& why) const;

  Backend& backend_;
  const OpenedModel& model_;
  const Format& format_;
  const ConvertOptions& options_;
  std::map<std::string, TensorKey> keys_;  // by tensor
  std::optional<GgufPlan> types_;
};

void Repacker::refuse(const std::string& module, const std::string& why) const {
  throw usage_error("{}: --format {} cannot hold it as it is: {}", module, format_.name, why)
      .hint("pass --requantize to round it again, or quantize the original to that format.");
}

// Tables that the format has no codes for become dense.
bool Repacker::takes(const StoredTensor& stored, Role role) const {
  if (is_linear(role)) return true;
  if (role != Role::head && role != Role::embed) return false;
  return format_.ggml_types ||
         (stored.quantized && (role == Role::head || format_.embedding_codes));
}

// MLX has scale and zero of offsets that are whole multiples of scales, which no NaN is.
void Repacker::check_values(const StoredTensor& stored) const {
  const int64_t most = std::max(int64_t{1}, kRoundedAtOnce / std::max(int64_t{1}, stored.cols));
  for (int64_t begin = 0; begin < stored.rows; begin += most) {
    const int64_t end = std::min(stored.rows, begin + most);
    const Tensor values(backend_.host_allocator(), end - begin, stored.cols, DType::f32);
    model_.source->read(stored.name, begin, end, values);
    check_finite(stored.name, begin, values);
  }
}

// The format's grid for codes that are there.
Grid Repacker::grid_for(const StoredTensor& stored, const std::string& module) const {
  if (stored.grid && format_.ggml_types && format_.grid(*stored.grid) == *stored.grid)
    return *stored.grid;
  if (!options_.requantize) {
    if (!stored.grid) check_values(stored);
    if (!stored.grid)
      refuse(module,
             fmt::format("{} has no scale and zero of its own for each group", stored.encoding));
    if (stored.grid->table != LevelTable::even) refuse(module, "its levels are uneven");
    if (stored.permuted && !format_.scattered_groups)
      refuse(module, "its groups are scattered (act-order g_idx)");
  }
  // Without what only ggml's types have: superblocks, and their groups of 16, for which others'
  // runtimes have no kernels.
  const Grid found = stored.grid.value_or(Grid{.group_size = 32, .symmetric = false});
  // Even levels need more bits to come near to uneven ones.
  constexpr int kWidest = 8;
  const Grid plain{.bits = found.table == LevelTable::even ? found.bits : kWidest,
                   .group_size = found.superblock > 0 ? std::max<int64_t>(32, found.group_size)
                                                      : found.group_size,
                   .symmetric = found.symmetric,
                   .scales = found.scales};
  if (options_.requantize) return nearest_held(plain, stored);
  if (const auto grid = held(plain, stored)) return *grid;
  refuse(module, fmt::format("it has {} bits in groups of {}, and rows of {}", plain.bits,
                             plain.group_size, stored.cols));
}

std::optional<Grid> Repacker::held(const Grid& wanted, const StoredTensor& stored) const {
  try {
    const Grid grid = format_.grid(wanted);
    format_.packed_plan(stored.name, grid, stored.rows, stored.cols);
    return grid;
  } catch (const Error&) {
    return std::nullopt;
  }
}

// Rather more bits than fewer, rather without a zero of its own than with fewer bits, and of groups
// the next larger. Throws what the format says of the one that is wanted when there is none.
Grid Repacker::nearest_held(Grid wanted, const StoredTensor& stored) const {
  std::vector<int> widths;
  for (int bits = wanted.bits; bits <= 8; ++bits) widths.push_back(bits);
  for (int bits = wanted.bits - 1; bits >= 2; --bits) widths.push_back(bits);
  const Grid first = wanted;
  for (const int bits : widths) {
    for (const bool symmetric : {first.symmetric, true}) {
      for (const int64_t size : {first.group_size, int64_t{32}, int64_t{64}, int64_t{128}}) {
        wanted.bits = bits;
        wanted.symmetric = symmetric;
        wanted.group_size = size;
        if (first.group_size > size) continue;
        if (const auto grid = held(wanted, stored)) return *grid;
      }
    }
  }
  return format_.grid(first);
}

PlannedModule Repacker::plan_module(const StoredTensor& stored, const std::string& module,
                                    const TensorKey& key) {
  PlannedModule planned{module, key.role, stored.rows, stored.cols, {}, !stored.quantized};
  const auto chosen = types_ ? types_->choose(key, stored.cols) : std::nullopt;
  if (chosen) {
    planned.skipped = !chosen->grid;
    planned.dense = chosen->dense;
    if (chosen->grid) planned.grid = *chosen->grid;
  } else if (!planned.skipped) {
    planned.grid = grid_for(stored, module);
  }
  return planned;
}

QuantizationSummary Repacker::plan() {
  QuantizationSummary summary;
  for (const StoredTensor& stored : model_.source->tensors()) {
    const auto key = keys_.find(stored.name);
    if (key == keys_.end() || !takes(stored, key->second.role)) continue;
    const std::string module = stored.name.substr(0, stored.name.size() - 7);
    summary.modules.push_back(plan_module(stored, module, key->second));
    summary.scattered_groups |= stored.permuted && format_.scattered_groups;
  }
  if (options_.requantize) align_grids(format_, summary.modules);
  for (const PlannedModule& module : summary.modules)
    if (!module.skipped) check_grid(module.grid, module.rows, module.cols, module.name);
  format_.check(summary.modules);
  return summary;
}

bool Repacker::repack(const PlannedModule& module, ModelWriter& writer) const {
  throw_if_interrupted();
  const std::string name = module.name + ".weight";
  if (!model_.source->find(name)->quantized) return false;
  std::string why = "its grid is not a scale and a zero a group";
  if (auto matrix = model_.source->quantized(name)) {
    check_scales(module.name, *matrix);
    const Adapted adapted = adapt(std::move(*matrix), module.grid, format_);
    why = adapted.obstacle;
    if (why.empty()) {
      writer.write(module.name, *adapted.matrix);
      return true;
    }
  }
  if (!options_.requantize) refuse(module.name, why);
  return false;
}

// Rounding works on one matrix with all threads, one panel of it held at a time.
void Repacker::write(const std::vector<const PlannedModule*>& modules, ModelWriter& writer,
                     ConvertOutcome& outcome) const {
  std::vector<char> repacked(modules.size());
  backend_.host_threads().parallel_for(
      static_cast<int64_t>(modules.size()), 1, [&](int64_t begin, int64_t end) {
        for (auto i = static_cast<size_t>(begin); i < static_cast<size_t>(end); ++i)
          repacked[i] = repack(*modules[i], writer);
      });
  for (size_t i = 0; i < modules.size(); ++i) {
    const PlannedModule& module = *modules[i];
    const bool coded = model_.source->find(module.name + ".weight")->quantized;
    int64_t& count = repacked[i] ? outcome.repacked : coded ? outcome.requantized : outcome.rounded;
    ++count;
    if (repacked[i]) continue;
    throw_if_interrupted();
    writer.write(module.name, round_matrix(backend_, *model_.source, module));
  }
  if (types_) outcome.notes = types_->notes();
}

// Whether a GGUF was split.
bool in_parts(const std::string& directory) {
  const std::filesystem::directory_iterator files(directory);
  return std::count_if(begin(files), end(files),
                       [](const auto& file) { return file.path().extension() == ".gguf"; }) > 1;
}

// Of what was written. A code stands for no such value; a dense type does, and a copy is a copy.
std::string find_not_finite_values(const std::string& directory, ThreadPool& threads) {
  const Checkpoint checkpoint = Checkpoint::open(directory);
  const OpenedWeights weights = open_weights(checkpoint);
  std::vector<ValueTrouble> troubles =
      scan_values(checkpoint, *weights.source, threads, /*quiet=*/true, ScannedValues::dense);
  std::erase_if(troubles, [](const ValueTrouble& trouble) { return !trouble.broken(); });
  if (troubles.empty()) return "";
  std::string text = value_findings(troubles, /*scales=*/false).front().text;
  spdlog::warn(
      "written as they are, though no numbers: {}; every token that meets them is NaN: fetch or "
      "make the model again",
      text);
  return text;
}

ConvertOutcome convert_codes(const OpenedModel& model, const ConvertOptions& options) {
  const Format& format = find_format(options.format);
  if (!format.ggml_types && !model.quantized())
    throw usage_error("{}: is not quantized, and --format {} holds codes", model.name(),
                      options.format)
        .hint(fmt::format("halftone quantize {} -o OUT --format {}",
                          shell_quoted(model.checkpoint->path()), options.format));
  const auto backend = make_backend("cpu", {.threads = options.threads});
  Repacker repacker(*backend, model, format, options);
  PendingDirectory pending(options.output);
  OutputSpec spec = output_spec(model, options, pending.path());
  spec.summary = repacker.plan();
  GgufContents contents;
  if (format.ggml_types) {
    contents = gguf_contents(model, options.gguf.type.empty()
                                        ? mix_of(model, spec.summary.modules, spec.dense)
                                        : find_gguf_mix(options.gguf.type));
    spec.gguf = &contents;
  }
  const auto writer = format.open_writer(format, spec);
  std::vector<const PlannedModule*> modules;
  for (const PlannedModule& module : spec.summary.modules)
    if (!module.skipped) modules.push_back(&module);
  ConvertOutcome outcome;
  writer->write_configuration();
  repacker.write(modules, *writer, outcome);
  writer->write_dense(backend->host_threads());
  outcome.bytes = writer->finish();
  outcome.not_finite = find_not_finite_values(pending.path(), backend->host_threads());
  outcome.readers =
      format.readers(spec.summary.modules, format.self_contained && in_parts(pending.path()));
  if (!format.self_contained) write_side_files(*model.checkpoint, pending.path());
  pending.publish(options.force);
  return outcome;
}

ConvertOutcome convert_to_dense(const OpenedModel& model, const ConvertOptions& options) {
  PendingDirectory pending(options.output);
  OutputSpec spec = output_spec(model, options, pending.path());
  // Codes have no dense type of their own.
  if (!spec.dense && model.quantized()) spec.dense = DType::bf16;
  ConvertOutcome outcome;
  ThreadPool threads(options.threads);
  outcome.bytes = write_dense_model(spec, threads);
  outcome.not_finite = find_not_finite_values(pending.path(), threads);
  write_side_files(*model.checkpoint, pending.path());
  pending.publish(options.force);
  return outcome;
}

}  // namespace

ConvertOutcome convert(const OpenedModel& model, const ConvertOptions& options) {
  check_place(options.output, model, options.force);
  const bool dense = options.format == "safetensors";
  check_gguf_options(dense ? nullptr : &find_format(options.format), options.gguf);
  if (const auto trouble = wrong_label(model))
    throw bad_input("{}", *trouble).hint(label_hint(model));
  if (dense) return convert_to_dense(model, options);
  return convert_codes(model, options);
}

}  // namespace halftone
