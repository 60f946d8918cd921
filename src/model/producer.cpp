#include "model/producer.h"

#include <numeric>

namespace halftone {
namespace {

Role producer_role(Stage stage) {
  switch (stage) {
    case Stage::attn_in:
      return Role::attn_norm;
    case Stage::attn_out:
      return Role::v;
    case Stage::mlp_in:
      return Role::mlp_norm;
    case Stage::mlp_out:
      return Role::up;
    case Stage::head:
      return Role::final_norm;
  }
  return Role::attn_norm;
}

}  // namespace

std::optional<Producer> producer_of(const ModelTensors& tensors, const StageId& id) {
  Producer producer{
      .key = {.layer = id.layer, .role = producer_role(id.stage), .expert = id.expert}};
  if (!is_linear(producer.key.role)) producer.key.expert = -1;
  const std::vector<TensorKey> linears = linears_of(tensors, id);
  if (!tensors.has(producer.key) || linears.empty()) return std::nullopt;
  producer.channel_of.resize(static_cast<size_t>(tensors.shape(linears.front()).second));
  std::iota(producer.channel_of.begin(), producer.channel_of.end(), 0);
  if (id.stage != Stage::attn_out) return producer;
  // Query head h reads key-value head h / (heads / kv_heads).
  const ModelConfig& config = tensors.config();
  const int64_t queries = config.heads / config.kv_heads;
  for (size_t i = 0; i < producer.channel_of.size(); ++i) {
    const int64_t head = static_cast<int64_t>(i) / config.head_dim;
    const int64_t within = static_cast<int64_t>(i) % config.head_dim;
    producer.channel_of[i] = static_cast<int32_t>(head / queries * config.head_dim + within);
  }
  return producer;
}

std::vector<TensorKey> linears_of(const ModelTensors& tensors, const StageId& id) {
  std::vector<TensorKey> keys;
  for (const Role role :
       {Role::q, Role::k, Role::v, Role::o, Role::gate, Role::up, Role::down, Role::head}) {
    const TensorKey key{.layer = id.layer, .role = role, .expert = id.expert};
    if (stage_of(role) == id.stage && tensors.has(key)) keys.push_back(key);
  }
  return keys;
}

}  // namespace halftone
