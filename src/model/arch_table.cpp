// The table of families. Names are those of the checkpoints that Hugging Face Transformers writes;
// defaults are those of its configuration classes.
#include "model/arch_table.h"

#include <algorithm>
#include <array>

namespace halftone {
namespace {

constexpr TensorRule kLlama[] = {
    {Role::embed, "embed_tokens"},
    {Role::attn_norm, "layers.{}.input_layernorm"},
    {Role::q, "layers.{}.self_attn.q_proj", Bias::attention},
    {Role::k, "layers.{}.self_attn.k_proj", Bias::attention},
    {Role::v, "layers.{}.self_attn.v_proj", Bias::attention},
    {Role::o, "layers.{}.self_attn.o_proj", Bias::attention},
    {Role::mlp_norm, "layers.{}.post_attention_layernorm"},
    {Role::gate, "layers.{}.mlp.gate_proj", Bias::mlp},
    {Role::up, "layers.{}.mlp.up_proj", Bias::mlp},
    {Role::down, "layers.{}.mlp.down_proj", Bias::mlp},
    {Role::final_norm, "norm"},
    {Role::head, "lm_head"},
};

constexpr TensorRule kMistral[] = {
    {Role::embed, "embed_tokens"},
    {Role::attn_norm, "layers.{}.input_layernorm"},
    {Role::q, "layers.{}.self_attn.q_proj"},
    {Role::k, "layers.{}.self_attn.k_proj"},
    {Role::v, "layers.{}.self_attn.v_proj"},
    {Role::o, "layers.{}.self_attn.o_proj"},
    {Role::mlp_norm, "layers.{}.post_attention_layernorm"},
    {Role::gate, "layers.{}.mlp.gate_proj"},
    {Role::up, "layers.{}.mlp.up_proj"},
    {Role::down, "layers.{}.mlp.down_proj"},
    {Role::final_norm, "norm"},
    {Role::head, "lm_head"},
};

constexpr TensorRule kQwen2[] = {
    {Role::embed, "embed_tokens"},
    {Role::attn_norm, "layers.{}.input_layernorm"},
    {Role::q, "layers.{}.self_attn.q_proj", Bias::always},
    {Role::k, "layers.{}.self_attn.k_proj", Bias::always},
    {Role::v, "layers.{}.self_attn.v_proj", Bias::always},
    {Role::o, "layers.{}.self_attn.o_proj"},
    {Role::mlp_norm, "layers.{}.post_attention_layernorm"},
    {Role::gate, "layers.{}.mlp.gate_proj"},
    {Role::up, "layers.{}.mlp.up_proj"},
    {Role::down, "layers.{}.mlp.down_proj"},
    {Role::final_norm, "norm"},
    {Role::head, "lm_head"},
};

constexpr TensorRule kQwen3[] = {
    {Role::embed, "embed_tokens"},
    {Role::attn_norm, "layers.{}.input_layernorm"},
    {Role::q, "layers.{}.self_attn.q_proj", Bias::attention},
    {Role::k, "layers.{}.self_attn.k_proj", Bias::attention},
    {Role::v, "layers.{}.self_attn.v_proj", Bias::attention},
    {Role::q_norm, "layers.{}.self_attn.q_norm"},
    {Role::k_norm, "layers.{}.self_attn.k_norm"},
    {Role::o, "layers.{}.self_attn.o_proj", Bias::attention},
    {Role::mlp_norm, "layers.{}.post_attention_layernorm"},
    {Role::gate, "layers.{}.mlp.gate_proj"},
    {Role::up, "layers.{}.mlp.up_proj"},
    {Role::down, "layers.{}.mlp.down_proj"},
    {Role::final_norm, "norm"},
    {Role::head, "lm_head"},
};

constexpr TensorRule kGemma3[] = {
    {Role::embed, "embed_tokens"},
    {Role::attn_norm, "layers.{}.input_layernorm"},
    {Role::q, "layers.{}.self_attn.q_proj", Bias::attention},
    {Role::k, "layers.{}.self_attn.k_proj", Bias::attention},
    {Role::v, "layers.{}.self_attn.v_proj", Bias::attention},
    {Role::q_norm, "layers.{}.self_attn.q_norm"},
    {Role::k_norm, "layers.{}.self_attn.k_norm"},
    {Role::o, "layers.{}.self_attn.o_proj", Bias::attention},
    {Role::post_attn_norm, "layers.{}.post_attention_layernorm"},
    {Role::mlp_norm, "layers.{}.pre_feedforward_layernorm"},
    {Role::gate, "layers.{}.mlp.gate_proj"},
    {Role::up, "layers.{}.mlp.up_proj"},
    {Role::down, "layers.{}.mlp.down_proj"},
    {Role::post_mlp_norm, "layers.{}.post_feedforward_layernorm"},
    {Role::final_norm, "norm"},
    {Role::head, "lm_head"},
};

constexpr Prefix kModel[] = {{"model.", ""}};
// How Transformers has saved Gemma 3 over time: text alone; with its vision tower, before 4.52;
// since.
constexpr Prefix kGemma3Prefixes[] = {
    {"model.", ""},
    {"language_model.model.", "language_model."},
    {"model.language_model.", ""},
};
constexpr std::string_view kVision[] = {"vision_tower.", "multi_modal_projector.",
                                        "model.vision_tower.", "model.multi_modal_projector."};

constexpr ConfigDefault kLlamaDefaults[] = {{"max_position_embeddings", 2048}};
constexpr ConfigDefault kMistralDefaults[] = {
    {"num_key_value_heads", 8}, {"max_position_embeddings", 131072}, {"sliding_window", 4096}};
constexpr ConfigDefault kQwen2Defaults[] = {{"max_position_embeddings", 32768},
                                            {"use_sliding_window", 0},
                                            {"sliding_window", 4096},
                                            {"max_window_layers", 28}};
constexpr ConfigDefault kQwen3Defaults[] = {{"head_dim", 128},
                                            {"max_position_embeddings", 32768},
                                            {"use_sliding_window", 0},
                                            {"sliding_window", 4096},
                                            {"max_window_layers", 28}};
constexpr ConfigDefault kGemma3Defaults[] = {{"vocab_size", 262208},
                                             {"hidden_size", 2304},
                                             {"intermediate_size", 9216},
                                             {"num_hidden_layers", 26},
                                             {"num_attention_heads", 8},
                                             {"num_key_value_heads", 4},
                                             {"head_dim", 256},
                                             {"max_position_embeddings", 131072},
                                             {"query_pre_attn_scalar", 256},
                                             {"sliding_window", 4096},
                                             {"sliding_window_pattern", 6},
                                             {"rope_theta", 1e6},
                                             {"rope_local_base_freq", 1e4}};

constexpr ArchSpec kArchitectures[] = {
    {.model_type = "llama",
     .tensors = kLlama,
     .prefixes = kModel,
     .defaults = kLlamaDefaults,
     .gguf = "llama",
     .example = "meta-llama/Llama-3.2-1B"},
    {.model_type = "mistral",
     .tensors = kMistral,
     .prefixes = kModel,
     .defaults = kMistralDefaults,
     .window = WindowRule::all,
     .gguf = "llama",
     .example = "mistralai/Mistral-7B-v0.1"},
    {.model_type = "qwen2",
     .tensors = kQwen2,
     .prefixes = kModel,
     .defaults = kQwen2Defaults,
     .window = WindowRule::upper,
     .gguf = "qwen2",
     .example = "Qwen/Qwen2.5-0.5B"},
    {.model_type = "qwen3",
     .tensors = kQwen3,
     .prefixes = kModel,
     .defaults = kQwen3Defaults,
     .window = WindowRule::upper,
     .gguf = "qwen3",
     .example = "Qwen/Qwen3-0.6B"},
    {.model_type = "gemma3_text",
     .tensors = kGemma3,
     .prefixes = kGemma3Prefixes,
     .defaults = kGemma3Defaults,
     .gain_offset = 1,
     .activation_key = "hidden_activation",
     .activation = Activation::gelu_tanh,
     .window = WindowRule::pattern,
     .two_ropes = true,
     .embed_scaled = true,
     .tied_by_default = true,
     .gguf = "gemma3",
     .example = "google/gemma-3-270m"},
    {.model_type = "gemma3",
     .tensors = kGemma3,
     .prefixes = kGemma3Prefixes,
     .defaults = kGemma3Defaults,
     .ignored = kVision,
     .text_config = "text_config",
     .gain_offset = 1,
     .activation_key = "hidden_activation",
     .activation = Activation::gelu_tanh,
     .window = WindowRule::pattern,
     .two_ropes = true,
     .embed_scaled = true,
     .tied_by_default = true,
     .gguf = "gemma3",
     .example = "google/gemma-3-4b-it"},
};

}  // namespace

std::span<const ArchSpec> architectures() { return kArchitectures; }

const ArchSpec* find_architecture(std::string_view model_type) {
  const auto* found =
      std::find_if(std::begin(kArchitectures), std::end(kArchitectures),
                   [&](const ArchSpec& arch) { return arch.model_type == model_type; });
  return found == std::end(kArchitectures) ? nullptr : found;
}

std::string known_architectures() {
  std::string names;
  for (const ArchSpec& arch : kArchitectures) {
    if (!names.empty()) names += ", ";
    names += arch.model_type;
  }
  return names;
}

const TensorRule* find_rule(const ArchSpec& arch, Role role) {
  const auto found = std::find_if(arch.tensors.begin(), arch.tensors.end(),
                                  [&](const TensorRule& rule) { return rule.role == role; });
  return found == arch.tensors.end() ? nullptr : &*found;
}

std::optional<std::string> tensor_name(const ArchSpec& arch, const TensorKey& key,
                                       const Prefix& prefix) {
  const TensorRule* rule = find_rule(arch, key.role);
  if (!rule) return std::nullopt;
  std::string name(key.role == Role::head ? prefix.head : prefix.body);
  const size_t layer = rule->name.find("{}");
  name += rule->name.substr(0, layer);
  if (layer != std::string_view::npos)
    name += std::to_string(key.layer) + std::string(rule->name.substr(layer + 2));
  return name + (key.part == Part::weight ? ".weight" : ".bias");
}

std::optional<std::string> tensor_name(const ArchSpec& arch, const TensorKey& key) {
  return tensor_name(arch, key, arch.prefixes.front());
}

}  // namespace halftone
