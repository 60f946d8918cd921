// What GGUF's tokenizer.ggml.pre stands for: llama.cpp names pre-tokenizers and keeps their
// patterns in its source (src/llama-vocab.cpp); the same in tokenizer.json's terms.
#pragma once

#include <string>

#include "base/json.h"

namespace halftone {

struct GgufPreTokenizer {
  Json normalizer, pre_tokenizer;  // as in the model's own tokenizer.json
  bool ignore_merges = false;
  bool add_bos = false;  // where the file does not say
};

// Throws Error(bad_input) for an unknown name.
GgufPreTokenizer gguf_pre_tokenizer(const std::string& name, const std::string& origin);
// The name of what tokenizer.json says; add_bos is not asked for. Throws Error(bad_input) when
// llama.cpp has none.
std::string gguf_pre_tokenizer_name(const GgufPreTokenizer& wanted, const std::string& origin);

}  // namespace halftone
