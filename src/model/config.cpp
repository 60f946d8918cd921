// config.json → ModelConfig. Keys, aliases and what an absent key means are those of Hugging Face
// Transformers' configuration classes, before and since its version 5 (rope_parameters).
#include "model/config.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "model/arch_table.h"
#include "model/rope_config.h"
#include "model/stop_tokens.h"

namespace halftone {
namespace {

constexpr int64_t kMaxWidth = int64_t{1} << 24;  // of any dimension of a matrix
constexpr int64_t kMaxLayers = 4096;
constexpr int64_t kMaxPositions = int64_t{1} << 40;

std::optional<double> default_of(const ArchSpec& arch, std::string_view key) {
  for (const ConfigDefault& entry : arch.defaults)
    if (entry.key == key) return entry.value;
  return std::nullopt;
}

// The value of `key`, or the family's default; an error that names the key when there is neither.
int64_t integer(const JsonObject& json, const ArchSpec& arch, std::string_view key, int64_t most) {
  if (!json.has(key))
    if (const auto value = default_of(arch, key)) return static_cast<int64_t>(*value);
  return json.integer(key, 1, most);
}

double softcap(const JsonObject& json, std::string_view key) {
  return json.maybe_number(key, 1e-3, 1e6).value_or(0);
}

// What q·k is divided by the root of: the head's width, but for families that name a number of
// their own.
double read_query_scalar(const JsonObject& json, const ArchSpec& arch, int64_t head_dim) {
  const auto own = default_of(arch, "query_pre_attn_scalar");
  if (!own) return static_cast<double>(head_dim);
  return json.maybe_number("query_pre_attn_scalar", 1e-3, 1e9).value_or(*own);
}

Activation read_activation(const JsonObject& json, const ArchSpec& arch) {
  const auto name = json.maybe_text(arch.activation_key);
  if (!name) return arch.activation;
  if (*name == "silu" || *name == "swish") return Activation::silu;
  if (*name == "gelu_pytorch_tanh" || *name == "gelu_new") return Activation::gelu_tanh;
  if (*name == "gelu") return Activation::gelu;
  throw bad_input("{}: {}: got \"{}\", expected silu, gelu or gelu_pytorch_tanh", json.origin(),
                  arch.activation_key, *name);
}

// Refuses by name what would change results and is not computed here.
void refuse_unsupported(const JsonObject& json) {
  const double rotated = json.maybe_number("partial_rotary_factor", 0, 1).value_or(1);
  if (rotated != 1)
    throw bad_input("{}: partial_rotary_factor: got {}, expected 1", json.origin(), rotated);
  if (json.flag("use_bidirectional_attention", false))
    throw bad_input("{}: use_bidirectional_attention: got true, expected false (causal attention)",
                    json.origin());
}

void check_heads(const ModelConfig& config, const JsonObject& json, bool head_dim_given) {
  if (config.heads % config.kv_heads != 0)
    throw bad_input(
        "{}: num_key_value_heads: got {}, expected a divisor of {} (num_attention_heads)",
        json.origin(), config.kv_heads, config.heads);
  if (!head_dim_given && config.hidden % config.heads != 0)
    throw bad_input("{}: hidden_size: got {}, expected a multiple of {} (num_attention_heads)",
                    json.origin(), config.hidden, config.heads);
  if (config.head_dim < 2 || config.head_dim % 2 != 0)
    throw bad_input("{}: head_dim: got {}, expected an even number (rotary pairs)", json.origin(),
                    config.head_dim);
  if (config.heads * config.head_dim > kMaxWidth)
    throw bad_input("{}: num_attention_heads · head_dim: got {} · {}, expected at most {}",
                    json.origin(), config.heads, config.head_dim, kMaxWidth);
}

void read_dimensions(const JsonObject& json, const ArchSpec& arch, ModelConfig& config) {
  config.hidden = integer(json, arch, "hidden_size", kMaxWidth);
  config.layers = integer(json, arch, "num_hidden_layers", kMaxLayers);
  config.heads = integer(json, arch, "num_attention_heads", kMaxWidth);
  config.intermediate = integer(json, arch, "intermediate_size", kMaxWidth);
  config.vocab = integer(json, arch, "vocab_size", kMaxWidth);
  config.max_positions = integer(json, arch, "max_position_embeddings", kMaxPositions);
  config.kv_heads = config.heads;
  if (json.has("num_key_value_heads") || default_of(arch, "num_key_value_heads"))
    config.kv_heads = integer(json, arch, "num_key_value_heads", config.heads);
  const bool head_dim_given = json.has("head_dim") || default_of(arch, "head_dim");
  config.head_dim =
      head_dim_given ? integer(json, arch, "head_dim", kMaxWidth) : config.hidden / config.heads;
  check_heads(config, json, head_dim_given);
}

// layer_types, where the configuration has it: 0 or `window` for each layer.
std::vector<int> windows_by_layer_types(const Json& types, const JsonObject& json, int64_t layers,
                                        int window) {
  if (!types.is_array() || types.size() != static_cast<size_t>(layers))
    throw bad_input("{}: layer_types: got {} entries, expected {} (num_hidden_layers)",
                    json.origin(), types.is_array() ? types.size() : 0, layers);
  std::vector<int> windows;
  for (const Json& type : types) {
    const std::string name = type.is_string() ? type.get<std::string>() : type.dump();
    if (name != "full_attention" && name != "sliding_attention")
      throw bad_input("{}: layer_types: got \"{}\", expected full_attention or sliding_attention",
                      json.origin(), name);
    windows.push_back(name == "full_attention" ? 0 : window);
  }
  return windows;
}

// sliding_window; 0 when the family or the configuration switches it off.
int read_window(const JsonObject& json, const ArchSpec& arch) {
  const bool used =
      json.flag("use_sliding_window", default_of(arch, "use_sliding_window").value_or(1) != 0);
  if (arch.window == WindowRule::none || !used) return 0;
  const bool is_null = json.json().contains("sliding_window") && !json.has("sliding_window");
  if (is_null) return 0;
  const int64_t window = integer(json, arch, "sliding_window", kMaxPositions);
  return static_cast<int>(std::min<int64_t>(window, INT32_MAX));
}

std::vector<int> read_windows(const JsonObject& json, const ArchSpec& arch, int64_t layers) {
  std::vector<int> windows(static_cast<size_t>(layers), 0);
  const int window = read_window(json, arch);
  if (window == 0) return windows;
  if (const Json* types = json.find("layer_types"))
    return windows_by_layer_types(*types, json, layers, window);
  int64_t first = 0, pattern = 0;
  if (arch.window == WindowRule::upper) {
    first = json.maybe_integer("max_window_layers", 0, kMaxLayers)
                .value_or(static_cast<int64_t>(default_of(arch, "max_window_layers").value_or(0)));
  } else if (arch.window == WindowRule::pattern) {
    // Transformers once wrote it with an underscore before it.
    const bool old_name = json.has("_sliding_window_pattern");
    pattern = integer(json, arch, old_name ? "_sliding_window_pattern" : "sliding_window_pattern",
                      kMaxLayers);
  }
  for (int64_t layer = first; layer < layers; ++layer)
    if (pattern == 0 || (layer + 1) % pattern != 0) windows[static_cast<size_t>(layer)] = window;
  return windows;
}

std::optional<bool> maybe_flag(const JsonObject& json, std::string_view key) {
  if (!json.has(key)) return std::nullopt;
  return json.flag(key, false);
}

bool has_bias(Bias bias, const ModelConfig& config) {
  return bias == Bias::always ||
         (bias == Bias::attention && config.attention_bias.value_or(false)) ||
         (bias == Bias::mlp && config.mlp_bias.value_or(false));
}

const ArchSpec& arch_of(const JsonObject& json) {
  const std::string model_type = json.text("model_type");
  if (const ArchSpec* arch = find_architecture(model_type)) return *arch;
  throw bad_input("{}: model_type: got \"{}\", which is not known", json.origin(), model_type)
      .hint("known: " + known_architectures() + "; docs/adding-a-family.md says how to add one.");
}

}  // namespace

ModelConfig read_config(const Metadata& metadata) {
  const JsonObject top(metadata.config, metadata.origin);
  const ArchSpec& arch = arch_of(top);
  const auto nested = arch.text_config.empty() ? std::nullopt : top.maybe_object(arch.text_config);
  const JsonObject& json = nested ? *nested : top;

  ModelConfig config;
  config.model_type = arch.model_type;
  read_dimensions(json, arch, config);
  refuse_unsupported(json);
  config.norm = {
      .kind = arch.norm,
      .epsilon = static_cast<float>(json.maybe_number("rms_norm_eps", 1e-12, 1).value_or(1e-6)),
      .gain_offset = arch.gain_offset};
  config.activation = read_activation(json, arch);
  config.rope = read_rope(json, arch, RopeLayers::full, config);
  config.local_rope =
      arch.two_ropes ? read_rope(json, arch, RopeLayers::sliding, config) : config.rope;
  config.window = read_windows(json, arch, config.layers);
  if (arch.embed_scaled) config.embed_scale = std::sqrt(static_cast<double>(config.hidden));
  config.attn_scale = 1 / std::sqrt(read_query_scalar(json, arch, config.head_dim));
  config.attn_softcap = softcap(json, "attn_logit_softcapping");
  config.final_softcap = softcap(json, "final_logit_softcapping");
  config.tied_embeddings =
      json.flag("tie_word_embeddings", top.flag("tie_word_embeddings", arch.tied_by_default));
  config.attention_bias = maybe_flag(json, "attention_bias");
  config.mlp_bias = maybe_flag(json, "mlp_bias");
  config.eos = read_stop_tokens(metadata, config.vocab).ids;
  return config;
}

std::pair<int64_t, int64_t> ModelConfig::shape(const TensorKey& key) const {
  const auto [rows, cols] = [&]() -> std::pair<int64_t, int64_t> {
    switch (key.role) {
      case Role::embed:
      case Role::head:
        return {vocab, hidden};
      case Role::q:
        return {heads * head_dim, hidden};
      case Role::k:
      case Role::v:
        return {kv_heads * head_dim, hidden};
      case Role::o:
        return {hidden, heads * head_dim};
      case Role::gate:
      case Role::up:
        return {intermediate, hidden};
      case Role::down:
        return {hidden, intermediate};
      case Role::q_norm:
      case Role::k_norm:
        return {1, head_dim};
      case Role::attn_norm:
      case Role::post_attn_norm:
      case Role::mlp_norm:
      case Role::post_mlp_norm:
      case Role::final_norm:
        return {1, hidden};
    }
    return {0, 0};
  }();
  if (key.part == Part::bias) return {1, rows};
  return {rows, cols};
}

int64_t ModelConfig::parameters() const {
  int64_t count = 0;
  for (const TensorRule& rule : find_architecture(model_type)->tensors) {
    if (rule.role == Role::head && tied_embeddings) continue;
    const auto [rows, cols] = shape({.role = rule.role});
    const int64_t biases = has_bias(rule.bias, *this) ? rows : 0;
    count += (rows * cols + biases) * (is_per_layer(rule.role) ? layers : 1);
  }
  return count;
}

}  // namespace halftone
