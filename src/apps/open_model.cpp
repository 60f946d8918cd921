// Opening a model: container → format → configuration → roles, each checked against the next.
#include "apps/open_model.h"

#include <algorithm>

#include "base/error.h"
#include "format/open_weights.h"
#include "tensor/renamed_copy.h"

namespace halftone {

namespace {

// The name of a tied head's tensor, if it had one.
std::string head_name(const ModelTensors& tensors) {
  const TensorKey embed{.role = Role::embed}, head{.role = Role::head};
  for (const Prefix& prefix : tensors.arch().prefixes)
    if (tensor_name(tensors.arch(), embed, prefix) == tensors.name(embed))
      return *tensor_name(tensors.arch(), head, prefix);
  return *tensor_name(tensors.arch(), head);
}

void untie(OpenedModel& model) {
  const std::string embedding = model.tensors->name({.role = Role::embed});
  const std::string head = head_name(*model.tensors);
  ModelConfig config = model.config();
  config.tied_embeddings = false;
  model.tensors.reset();
  model.source = std::make_unique<RenamedCopy>(std::move(model.source), embedding, head);
  model.tensors = std::make_unique<ModelTensors>(*model.source, config);
  model.own_head = true;
}

}  // namespace

OpenedModel open_model(const std::string& model, bool own_head) {
  OpenedModel opened;
  opened.checkpoint = std::make_unique<Checkpoint>(Checkpoint::open(model));
  const ModelConfig config = read_config(opened.checkpoint->metadata());
  OpenedWeights weights = open_weights(*opened.checkpoint);
  opened.source = std::move(weights.source);
  opened.quantization = std::move(weights.quantization);
  opened.tensors = std::make_unique<ModelTensors>(*opened.source, config);
  if (own_head && config.tied_embeddings) untie(opened);
  return opened;
}

std::string module_name(std::string tensor) {
  constexpr std::string_view kSuffix = ".weight";
  if (tensor.ends_with(kSuffix)) tensor.resize(tensor.size() - kSuffix.size());
  return tensor;
}

ModelSize measure_size(const OpenedModel& model) {
  ModelSize size;
  size.file_bytes = model.checkpoint->file_bytes();
  int64_t tensor_bytes = 0;
  for (const ContainerEntry& entry : model.checkpoint->entries())
    tensor_bytes += static_cast<int64_t>(entry.bytes.size());
  double linear_bits = 0, linear_weights = 0;
  for (const TensorKey& key : model.tensors->keys()) {
    const auto [rows, cols] = model.tensors->shape(key);
    if (key.role != Role::head || !model.own_head) size.parameters += rows * cols;
    if (!is_linear(key.role) || key.part != Part::weight) continue;
    const StoredTensor& stored = model.tensors->stored(key);
    linear_bits += stored.bits_per_weight() * static_cast<double>(rows * cols);
    linear_weights += static_cast<double>(rows * cols);
  }
  if (linear_weights > 0) size.bits_per_weight_linears = linear_bits / linear_weights;
  if (size.parameters > 0)
    size.bits_per_weight_file =
        8.0 * static_cast<double>(tensor_bytes) / static_cast<double>(size.parameters);
  return size;
}

DType compute_dtype(const std::string& option, const Backend& backend) {
  if (option == "f32") return DType::f32;
  if (option == "bf16") return DType::bf16;
  if (option == "auto") return backend.info().native_bf16 ? DType::bf16 : DType::f32;
  throw usage_error("--dtype {}: not a type to compute in", option).hint("use auto, f32 or bf16.");
}

}  // namespace halftone
