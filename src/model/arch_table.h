// Families are data: one entry each, iterated by configuration, loader and tests.
// docs/adding-a-family.md walks through an entry.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "backend/backend.h"
#include "tensor/role.h"

namespace halftone {

enum class Wiring : uint8_t {
  sequential,
  parallel
};  // parallel: MLP and attention read one residual

// A contiguous share of a fused tensor's rows: part `index` of the `of` roles that share its name,
// each with as many rows as its role has (phi3's qkv_proj = q, k, v).
struct Slice {
  uint8_t index = 0, of = 1;
};

// Whether a ".bias" stands beside a linear's ".weight".
enum class Bias : uint8_t {
  none,
  always,
  attention,  // as attention_bias says; where that is silent, as stored
  mlp         // the same with mlp_bias
};

// One tensor name of a family, without prefix and without ".weight". "{}" stands for the layer.
struct TensorRule {
  Role role;
  std::string_view name;
  Bias bias = Bias::none;
  Slice slice{};
};

// What stands before the names, in one way of saving a model of the family.
struct Prefix {
  std::string_view body;  // "model."
  std::string_view head;  // "", before "lm_head"
};

// Which layers see only a window, when layer_types does not say.
enum class WindowRule : uint8_t {
  none,    // sliding_window means nothing here
  all,     // every layer (mistral)
  upper,   // those from max_window_layers on (qwen2)
  pattern  // all but every sliding_window_pattern-th (gemma3)
};

// A number that config.json may leave out: what the family's reference implementation then takes.
struct ConfigDefault {
  std::string_view key;
  double value;
};

struct ArchSpec {
  std::string_view model_type;
  std::span<const TensorRule> tensors;
  std::span<const Prefix> prefixes;  // the first is what we write
  std::span<const ConfigDefault> defaults{};
  std::span<const std::string_view> ignored{};  // prefixes of tensors that text does not need
  std::string_view text_config{};               // key of a nested configuration
  NormKind norm = NormKind::rms;
  float gain_offset = 0;  // gemma stores gain − 1
  std::string_view activation_key = "hidden_act";
  Activation activation = Activation::silu;  // when the configuration does not say
  Wiring wiring = Wiring::sequential;
  WindowRule window = WindowRule::none;
  bool two_ropes = false;     // layers with a window have frequencies of their own (gemma3)
  bool embed_scaled = false;  // by sqrt(hidden) (gemma)
  bool tied_by_default = false;
  std::string_view gguf{};     // its row of io/gguf_family.h; empty: llama.cpp has none
  std::string_view example{};  // a public model, for people
};

std::span<const ArchSpec> architectures();
const ArchSpec* find_architecture(std::string_view model_type);  // nullptr: unknown
// "llama, mistral, …": for errors.
std::string known_architectures();

// The rule of a role; nullptr when the family has no such tensor.
const TensorRule* find_rule(const ArchSpec& arch, Role role);

// "model.layers.3.self_attn.q_proj.weight", with the family's first prefix or the one given;
// nothing when the family has no such tensor.
std::optional<std::string> tensor_name(const ArchSpec& arch, const TensorKey& key);
std::optional<std::string> tensor_name(const ArchSpec& arch, const TensorKey& key,
                                       const Prefix& prefix);

}  // namespace halftone
