// The table of families in GGUF files, as llama.cpp's converter writes them and its loader reads.
#include "io/gguf_family.h"

#include "base/error.h"

namespace halftone {
namespace {

constexpr GgufName kNorms[] = {{"ffn_norm", "post_attention_layernorm"}};
// Norms on both sides of attention and MLP.
constexpr GgufName kGemma3Norms[] = {{"post_attention_norm", "post_attention_layernorm"},
                                     {"ffn_norm", "pre_feedforward_layernorm"},
                                     {"post_ffw_norm", "post_feedforward_layernorm"}};

constexpr GgufFamily kFamilies[] = {{.architecture = "llama",
                                     .model_type = "llama",
                                     .class_name = "LlamaForCausalLM",
                                     .norms = kNorms,
                                     .interleaved = true,
                                     .attention_bias = true,
                                     .mlp_bias = true,
                                     .counts_tokens = true},
                                    {.architecture = "qwen2",
                                     .model_type = "qwen2",
                                     .class_name = "Qwen2ForCausalLM",
                                     .norms = kNorms,
                                     .denies_windows = true},
                                    {.architecture = "qwen3",
                                     .model_type = "qwen3",
                                     .class_name = "Qwen3ForCausalLM",
                                     .norms = kNorms,
                                     .attention_bias = true},
                                    {.architecture = "gemma3",
                                     .model_type = "gemma3_text",
                                     .class_name = "Gemma3ForCausalLM",
                                     .norms = kGemma3Norms,
                                     .gain_offset = 1,
                                     .window_pattern = 6,
                                     .odd_layers = 62}};

}  // namespace

std::span<const GgufFamily> gguf_families() { return kFamilies; }

const GgufFamily* find_gguf_family(std::string_view architecture) {
  for (const GgufFamily& family : kFamilies)
    if (family.architecture == architecture) return &family;
  return nullptr;
}

const GgufFamily& gguf_family_of(const GgufFile& file) {
  if (const GgufFamily* family = find_gguf_family(file.architecture())) return *family;
  std::string known;
  for (const GgufFamily& family : kFamilies)
    known += (known.empty() ? "" : ", ") + std::string(family.architecture);
  throw bad_input("{}: architecture {}, expected one of {} (general.architecture)", file.path(),
                  file.architecture(), known);
}

}  // namespace halftone
