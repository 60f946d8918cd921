// llama.cpp's tensor names as Hugging Face's.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace halftone {

// "blk.3.attn_q.weight" → "model.layers.3.self_attn.q_proj.weight"; `architecture` is GGUF's
// ("gemma3"). Nothing for names that stand for no tensor of Hugging Face's.
std::optional<std::string> hugging_face_name(std::string_view architecture, std::string_view name);

}  // namespace halftone
