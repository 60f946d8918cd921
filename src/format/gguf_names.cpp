// Tensor names, GGUF and Hugging Face (llama.cpp's gguf-py/gguf/tensor_mapping.py).
#include "format/gguf_names.h"

#include <algorithm>
#include <array>
#include <span>

namespace halftone {
namespace {

constexpr std::array kOutside = {
    GgufName{"token_embd", "model.embed_tokens"},
    GgufName{"output_norm", "model.norm"},
    GgufName{"output", "lm_head"},
};
constexpr std::array kInBlocks = {
    GgufName{"attn_norm", "input_layernorm"},    GgufName{"attn_q", "self_attn.q_proj"},
    GgufName{"attn_k", "self_attn.k_proj"},      GgufName{"attn_v", "self_attn.v_proj"},
    GgufName{"attn_output", "self_attn.o_proj"}, GgufName{"attn_q_norm", "self_attn.q_norm"},
    GgufName{"attn_k_norm", "self_attn.k_norm"}, GgufName{"ffn_gate", "mlp.gate_proj"},
    GgufName{"ffn_up", "mlp.up_proj"},           GgufName{"ffn_down", "mlp.down_proj"},
};

std::string_view translate(std::span<const GgufName> pairs, std::string_view gguf) {
  for (const GgufName& pair : pairs) {
    if (pair.gguf == gguf) return pair.hugging_face;
  }
  return {};
}

std::string_view stem_of(Role role) {
  switch (role) {
    case Role::embed:
      return "token_embd";
    case Role::final_norm:
      return "output_norm";
    case Role::head:
      return "output";
    case Role::attn_norm:
      return "attn_norm";
    case Role::q:
      return "attn_q";
    case Role::k:
      return "attn_k";
    case Role::v:
      return "attn_v";
    case Role::q_norm:
      return "attn_q_norm";
    case Role::k_norm:
      return "attn_k_norm";
    case Role::o:
      return "attn_output";
    case Role::post_attn_norm:
      return "post_attention_norm";
    case Role::mlp_norm:
      return "ffn_norm";
    case Role::gate:
      return "ffn_gate";
    case Role::up:
      return "ffn_up";
    case Role::down:
      return "ffn_down";
    case Role::post_mlp_norm:
      return "post_ffw_norm";
  }
  return {};
}

}  // namespace

std::string gguf_name(const TensorKey& key) {
  const std::string stem(stem_of(key.role));
  const std::string part = key.part == Part::weight ? ".weight" : ".bias";
  if (!is_per_layer(key.role)) return stem + part;
  return "blk." + std::to_string(key.layer) + "." + stem + part;
}

std::optional<std::string> hugging_face_name(const GgufFamily& family, std::string_view name) {
  const size_t dot = name.rfind('.');
  if (dot == std::string_view::npos) return std::nullopt;
  const std::string_view part = name.substr(dot);  // ".weight", ".bias"
  if (part != ".weight" && part != ".bias") return std::nullopt;
  std::string_view stem = name.substr(0, dot);
  if (!stem.starts_with("blk.")) {
    const std::string_view outside = translate(kOutside, stem);
    if (outside.empty()) return std::nullopt;
    return std::string(outside) + std::string(part);
  }
  stem.remove_prefix(4);
  const size_t end = stem.find('.');
  if (end == std::string_view::npos || end == 0) return std::nullopt;
  const std::string_view layer = stem.substr(0, end);
  if (layer.find_first_not_of("0123456789") != std::string_view::npos) return std::nullopt;
  stem.remove_prefix(end + 1);
  std::string_view inside = translate(kInBlocks, stem);
  if (inside.empty()) inside = translate(family.norms, stem);
  if (inside.empty()) return std::nullopt;
  return "model.layers." + std::string(layer) + "." + std::string(inside) + std::string(part);
}

}  // namespace halftone
