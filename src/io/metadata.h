// One neutral view of what a model says of itself, whether in config.json and tokenizer.json or in
// GGUF keys: the configuration with Hugging Face's keys, and the tokenizer's data.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/json.h"

namespace halftone {

// The tokenizer as a GGUF file carries it (tokenizer.ggml.*).
struct GgufTokenizer {
  std::string model;  // "gpt2", "llama"
  std::string pre;    // "llama-bpe", "qwen2", "smollm", …
  std::vector<std::string> tokens;
  std::vector<int32_t> types;  // 1 normal, 2 unknown, 3 control, 4 user-defined, 5 unused, 6 byte
  std::vector<float> scores;   // llama
  std::vector<std::string> merges;  // gpt2
  std::optional<int32_t> bos, eos, unknown, padding;
  std::optional<bool> add_bos, add_eos, add_space_prefix;
};

struct TokenizerFiles {
  // Whole texts, empty where absent.
  std::string tokenizer_json, tokenizer_config_json, special_tokens_map_json;
  std::optional<GgufTokenizer> gguf;
};

struct Metadata {
  std::string origin;      // what errors name: ".../config.json" or the .gguf file
  Json config;             // config.json, or built from GGUF keys with the same names
  Json generation_config;  // null where absent
  TokenizerFiles tokenizer;
  std::string chat_template;                                   // Jinja text; empty where absent
  std::vector<std::pair<std::string, std::string>> gguf_keys;  // key and short value, for inspect
};

}  // namespace halftone
