// llama.cpp's tensor names, from and to Hugging Face's.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "io/gguf_family.h"
#include "tensor/role.h"

namespace halftone {

// "blk.3.attn_q.weight" → "model.layers.3.self_attn.q_proj.weight". Nothing for names that stand
// for no tensor of Hugging Face's.
std::optional<std::string> hugging_face_name(const GgufFamily& family, std::string_view name);

// "blk.3.attn_q.weight"
std::string gguf_name(const TensorKey& key);

}  // namespace halftone
