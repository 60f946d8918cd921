#include "apps/gguf_plan.h"

#include <fmt/core.h>

#include <algorithm>

#include "base/error.h"
#include "format/ggml_grids.h"
#include "format/gguf_source.h"
#include "io/gguf.h"

namespace halftone {
namespace {

DType dense_type(std::string_view type) {
  return type == "F32" ? DType::f32 : type == "F16" ? DType::f16 : DType::bf16;
}

double bits_of(std::string_view type) {
  const GgmlBlock block = *ggml_block(type);
  return 8.0 * static_cast<double>(block.bytes) / static_cast<double>(block.values);
}

}  // namespace

const GgufFamily& gguf_family(const OpenedModel& model) {
  const ArchSpec& arch = model.tensors->arch();
  if (const GgufFamily* family = find_gguf_family(arch.gguf)) return *family;
  std::string known;
  for (const ArchSpec& other : architectures())
    if (!other.gguf.empty()) known += (known.empty() ? "" : ", ") + std::string(other.model_type);
  throw usage_error("--format gguf: a {} model, expected one of {}", arch.model_type, known)
      .hint("other formats hold it: gptq, awq, compressed-tensors, mlx.");
}

void check_gguf_options(const Format* format, const GgufOptions& options) {
  if (options.given() && (format == nullptr || !format->ggml_types))
    throw usage_error("--gguf-type, --embedding-type and --head-type are for --format gguf");
}

GgufPlan::GgufPlan(const OpenedModel& model, const GgufOptions& options, const GgufMix* mix)
    : mix_(mix),
      layers_(static_cast<int>(model.config().layers)),
      heads_per_key_(model.config().heads / model.config().kv_heads),
      tied_(model.config().tied_embeddings) {
  gguf_family(model);
  if (!options.embedding_type.empty())
    embedding_type_ = check_gguf_type("--embedding-type", options.embedding_type);
  if (!options.head_type.empty()) head_type_ = check_gguf_type("--head-type", options.head_type);
  if (!tied_) return;
  // One table serves as both.
  if (!embedding_type_.empty() && !head_type_.empty() && embedding_type_ != head_type_)
    throw usage_error("--embedding-type {} and --head-type {}: this model's head is its embedding",
                      embedding_type_, head_type_)
        .hint("pass one of them.");
  if (embedding_type_.empty()) embedding_type_ = head_type_;
}

std::optional<GgufPlan::Choice> GgufPlan::choose(const TensorKey& key, int64_t cols) {
  std::string_view type;
  if (mix_ != nullptr)
    type = gguf_type(*mix_, {key.role, key.layer, layers_, tied_, heads_per_key_});
  if (key.role == Role::embed && !embedding_type_.empty()) type = embedding_type_;
  if (key.role == Role::head && !head_type_.empty()) type = head_type_;
  if (type.empty()) return std::nullopt;
  const std::string_view fitting = gguf_type_for_row(type, cols);
  if (fitting != type) ++replaced_[{type, fitting, cols}];
  if (is_dense_ggml(fitting)) return Choice{{}, dense_type(fitting)};
  return Choice{ggml_grid(fitting), {}};
}

std::vector<std::string> GgufPlan::notes() const {
  std::vector<std::string> notes;
  for (const auto& [what, count] : replaced_)
    notes.push_back(fmt::format(
        "{} matri{} with rows of {}: {} has blocks of {}, so {} instead ({:.4g} bits a weight, not "
        "{:.4g})",
        count, count == 1 ? "x" : "ces", what.cols, what.type, ggml_block(what.type)->values,
        what.instead, bits_of(what.instead), bits_of(what.type)));
  return notes;
}

std::vector<PlannedModule> plan_gguf_tables(const OpenedModel& model, GgufPlan& plan,
                                            bool head_is_row) {
  std::vector<PlannedModule> tables;
  for (const TensorKey& key : model.tensors->keys()) {
    const bool table = key.role == Role::embed || (key.role == Role::head && !head_is_row);
    if (key.part != Part::weight || !table) continue;
    const auto [rows, cols] = model.tensors->shape(key);
    const std::string name = model.tensors->name(key);
    PlannedModule planned{.name = name.substr(0, name.rfind('.')),
                          .role = key.role,
                          .rows = rows,
                          .cols = cols,
                          .skipped = true};
    if (const auto choice = plan.choose(key, cols)) {
      planned.skipped = !choice->grid;
      planned.dense = choice->dense;
      if (choice->grid) planned.grid = *choice->grid;
    }
    tables.push_back(std::move(planned));
  }
  return tables;
}

std::string gguf_type_text(const PlannedModule& module) {
  if (!module.skipped) return std::string(*ggml_type_of(module.grid));
  if (!module.dense) return "as it is";
  return *module.dense == DType::f32 ? "F32" : *module.dense == DType::f16 ? "F16" : "BF16";
}

const GgufMix& mix_of(const OpenedModel& model, std::span<const PlannedModule> modules,
                      std::optional<DType> dense) {
  if (model.checkpoint->is_gguf() && model.quantized())
    if (const GgufMix* stated = stated_mix(*model.checkpoint->gguf())) return *stated;
  std::map<std::string_view, int64_t> weights;  // by type
  for (const PlannedModule& module : modules)
    if (!module.skipped && is_linear(module.role))
      weights[*ggml_type_of(module.grid)] += module.rows * module.cols;
  if (!weights.empty()) {
    const auto most = std::max_element(weights.begin(), weights.end(),
                                       [](auto& a, auto& b) { return a.second < b.second; });
    for (const GgufMix& mix : gguf_mixes())
      if (mix.type == most->first && mix.kind != MixKind::medium) return mix;
  }
  if (!dense) {
    const auto& keys = model.tensors->keys();
    const auto linear = std::find_if(keys.begin(), keys.end(), [](const TensorKey& key) {
      return is_linear(key.role) && key.part == Part::weight;
    });
    const std::string& stored = model.tensors->stored(*linear).encoding;
    dense = stored == "f32" ? DType::f32 : stored == "f16" ? DType::f16 : DType::bf16;
  }
  return find_gguf_mix(*dense == DType::f32 ? "F32" : *dense == DType::f16 ? "F16" : "BF16");
}

}  // namespace halftone
