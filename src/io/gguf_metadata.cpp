// A GGUF file's keys as Hugging Face's config.json, generation_config.json and tokenizer data.
//
// Keys are "{architecture}.name" (ggml's docs/gguf.md). What GGUF leaves to llama.cpp's code, such
// as Gemma's window pattern, is filled in as transformers' configuration classes have it.
#include <algorithm>
#include <array>
#include <cstdint>
#include <span>
#include <utility>

#include "base/error.h"
#include "io/gguf.h"
#include "io/gguf_family.h"
#include "io/gguf_keys.h"
#include "io/gguf_rope.h"

namespace halftone {
namespace {

constexpr int64_t kMost = int64_t{1} << 31;

// The keys of one file while its config.json is written.
class ConfigWriter {
 public:
  ConfigWriter(const GgufFile& file, const GgufKeys& keys)
      : file_(file),
        keys_(keys),
        family_(gguf_family_of(file)),
        prefix_(file.architecture() + ".") {}

  Json write() {
    refuse_experts();
    config_["architectures"] = Json::array({std::string(family_.class_name)});
    config_["model_type"] = std::string(family_.model_type);
    write_shape();
    write_token_ids();
    config_["max_position_embeddings"] = keys_.needed_integer(key("context_length"), 1, kMost);
    config_["rms_norm_eps"] = keys_.needed_number(key("attention.layer_norm_rms_epsilon"), 0, 1);
    config_["tie_word_embeddings"] = file_.find("output.weight") == nullptr;
    config_["torch_dtype"] = std::string(dtype());
    write_rope();
    write_family();
    config_["use_cache"] = true;
    return std::move(config_);
  }

 private:
  std::string key(std::string_view name) const { return prefix_ + std::string(name); }

  void refuse_experts() const {
    const int64_t experts = keys_.integer(key("expert_count"), 0, kMost).value_or(0);
    if (experts > 0) {
      throw bad_input("{}: a mixture of {} experts, expected a dense model ({})", file_.path(),
                      experts, key("expert_count"));
    }
  }

  void write_shape() {
    hidden_ = keys_.needed_integer(key("embedding_length"), 1, kMost);
    layers_ = keys_.needed_integer(key("block_count"), 1, 4096);
    heads_ = keys_.needed_integer(key("attention.head_count"), 1, 65536);
    const auto kv_heads = keys_.integer(key("attention.head_count_kv"), 1, 65536);
    const auto rotated = keys_.integer(key("rope.dimension_count"), 1, 65536);
    const auto key_length = keys_.integer(key("attention.key_length"), 1, 65536);
    const auto value_length = keys_.integer(key("attention.value_length"), 1, 65536);
    head_dim_ = key_length.value_or(rotated.value_or(std::max<int64_t>(1, hidden_ / heads_)));
    if (value_length.value_or(head_dim_) != head_dim_) {
      throw bad_input("{}: {} {}, expected {} ({})", file_.path(), key("attention.value_length"),
                      *value_length, head_dim_, key("attention.key_length"));
    }
    if (rotated.value_or(head_dim_) != head_dim_) {
      throw bad_input("{}: {} {}, expected {} (rotary positions on the whole head)", file_.path(),
                      key("rope.dimension_count"), *rotated, head_dim_);
    }
    config_["hidden_size"] = hidden_;
    config_["intermediate_size"] = keys_.needed_integer(key("feed_forward_length"), 1, kMost);
    config_["num_hidden_layers"] = layers_;
    config_["num_attention_heads"] = heads_;
    config_["num_key_value_heads"] = kv_heads.value_or(heads_);
    config_["head_dim"] = head_dim_;
    config_["vocab_size"] = vocabulary_rows();
  }

  int64_t vocabulary_rows() const {
    const ContainerEntry* embed = file_.find("token_embd.weight");
    if (embed == nullptr) throw bad_input("{}: token_embd.weight is missing", file_.path());
    if (embed->shape.size() != 2) {
      throw bad_input("{}: token_embd.weight: {} dimensions, expected 2", file_.path(),
                      embed->shape.size());
    }
    return embed->shape[0];
  }

  void write_token_ids() {
    constexpr std::array<std::pair<const char*, const char*>, 3> kIds = {{
        {"bos_token_id", "tokenizer.ggml.bos_token_id"},
        {"eos_token_id", "tokenizer.ggml.eos_token_id"},
        {"pad_token_id", "tokenizer.ggml.padding_token_id"},
    }};
    for (const auto& [name, gguf] : kIds) {
      const auto id = keys_.integer(gguf, 0, UINT32_MAX);
      if (id && *id != UINT32_MAX) config_[name] = *id;
    }
  }

  // What the weights were, as far as the file tells.
  std::string_view dtype() const {
    const ContainerEntry* weight = file_.find("blk.0.attn_q.weight");
    if (weight != nullptr && weight->type == "F32") return "float32";
    if (weight != nullptr && weight->type == "F16") return "float16";
    return "bfloat16";
  }

  void write_rope() {
    const double theta = keys_.number(key("rope.freq_base"), 1, 1e12).value_or(10000);
    config_["rope_theta"] = theta;
    const std::string type = keys_.text(key("rope.scaling.type")).value_or("none");
    if (type == "linear" || type == "yarn") {
      Json scaling;
      scaling["rope_type"] = type;
      scaling["factor"] = keys_.needed_number(key("rope.scaling.factor"), 1e-3, 1e6);
      if (type == "yarn") {
        const auto original = keys_.integer(key("rope.scaling.original_context_length"), 1, kMost);
        if (original) scaling["original_max_position_embeddings"] = *original;
        copy_number(scaling, "attention_factor", "rope.scaling.yarn_attn_factor");
        copy_number(scaling, "beta_fast", "rope.scaling.yarn_beta_fast");
        copy_number(scaling, "beta_slow", "rope.scaling.yarn_beta_slow");
      }
      config_["rope_scaling"] = std::move(scaling);
    } else if (type != "none") {
      throw bad_input("{}: {} {}, expected none, linear or yarn", file_.path(),
                      key("rope.scaling.type"), type);
    }
    write_rope_divisors(theta);
  }

  void copy_number(Json& object, const char* name, std::string_view gguf) const {
    const auto value = keys_.number(key(gguf), 0, 1e6);
    if (value) object[name] = *value;
  }

  // The divisors as llama3's parameters where they are such, else as they stand, under a key of
  // ours.
  void write_rope_divisors(double theta) {
    const ContainerEntry* tensor = file_.find("rope_freqs.weight");
    if (tensor == nullptr) return;
    if (tensor->type != "F32" || tensor->shape != std::vector<int64_t>{head_dim_ / 2}) {
      throw bad_input("{}: rope_freqs.weight: expected {} F32 values (half a head)", file_.path(),
                      head_dim_ / 2);
    }
    std::vector<float> divisors(static_cast<size_t>(head_dim_ / 2));
    ggml_dequantize("F32", tensor->bytes, divisors);
    for (const float divisor : divisors) {
      if (divisor >= 1e-6f && divisor <= 1e6f) continue;
      throw bad_input("{}: rope_freqs.weight holds {}, expected positive divisors", file_.path(),
                      divisor);
    }
    if (std::all_of(divisors.begin(), divisors.end(), [](float d) { return d == 1; })) return;
    const auto llama3 =
        config_.contains("rope_scaling") ? std::nullopt : recover_llama3(divisors, theta);
    if (!llama3) {
      config_["rope_freq_factors"] = divisors;
      return;
    }
    Json scaling;
    scaling["rope_type"] = "llama3";
    scaling["factor"] = llama3->factor;
    scaling["low_freq_factor"] = llama3->low_freq_factor;
    scaling["high_freq_factor"] = llama3->high_freq_factor;
    scaling["original_max_position_embeddings"] = llama3->original_positions;
    config_["rope_scaling"] = std::move(scaling);
  }

  void write_family() {
    if (family_.windows()) {
      write_gemma3();
      return;
    }
    config_["hidden_act"] = "silu";
    if (family_.denies_windows) config_["use_sliding_window"] = false;
    if (family_.attention_bias)
      config_["attention_bias"] = file_.find("blk.0.attn_q.bias") != nullptr;
    if (family_.mlp_bias) config_["mlp_bias"] = file_.find("blk.0.ffn_gate.bias") != nullptr;
  }

  void write_gemma3() {
    config_["hidden_activation"] = "gelu_pytorch_tanh";
    config_["attention_bias"] = false;
    const auto scale = keys_.number(key("attention.scale"), 1e-6, 1e6);
    if (scale) {
      config_["query_pre_attn_scalar"] = 1 / (*scale * *scale);
    } else {
      config_["query_pre_attn_scalar"] =
          layers_ == family_.odd_layers ? std::max<int64_t>(1, hidden_ / heads_) : head_dim_;
    }
    config_["rope_local_base_freq"] =
        keys_.number(key("rope.freq_base_swa"), 1, 1e12).value_or(10000);
    copy_softcap("attn_logit_softcapping");
    copy_softcap("final_logit_softcapping");
    write_windows();
  }

  void copy_softcap(const char* name) {
    const double cap = keys_.number(key(name), 0, 1e6).value_or(0);
    config_[name] = cap > 0 ? Json(cap) : Json(nullptr);
  }

  void write_windows() {
    const int64_t window = keys_.integer(key("attention.sliding_window"), 0, kMost).value_or(0);
    std::vector<bool> windowed(static_cast<size_t>(layers_), false);
    if (window > 0) {
      // One flag a layer, or every n-th layer sees everything.
      const std::string pattern_key = key("attention.sliding_window_pattern");
      const auto stored = file_.keys().find(pattern_key);
      const auto* flags = stored == file_.keys().end()
                              ? nullptr
                              : std::get_if<std::vector<int64_t>>(&stored->second);
      if (flags != nullptr && static_cast<int64_t>(flags->size()) != layers_) {
        throw bad_input("{}: {}: {} elements, expected one a layer ({})", file_.path(), pattern_key,
                        flags->size(), layers_);
      }
      const int64_t pattern =
          flags != nullptr ? 0
                           : keys_.integer(pattern_key, 1, 4096).value_or(family_.window_pattern);
      for (size_t i = 0; i < windowed.size(); ++i) {
        windowed[i] =
            flags != nullptr ? (*flags)[i] != 0 : (static_cast<int64_t>(i) + 1) % pattern != 0;
      }
      if (pattern > 0) config_["sliding_window_pattern"] = pattern;
    }
    config_["sliding_window"] = window > 0 ? Json(window) : Json(nullptr);
    Json types = Json::array();
    for (const bool local : windowed)
      types.push_back(local ? "sliding_attention" : "full_attention");
    config_["layer_types"] = std::move(types);
  }

  const GgufFile& file_;
  const GgufKeys& keys_;
  const GgufFamily& family_;
  std::string prefix_;
  Json config_ = Json::object();
  int64_t hidden_ = 0, layers_ = 0, heads_ = 0, head_dim_ = 0;
};

// A token's id, checked against the vocabulary; 2^32 − 1 stands for none.
std::optional<int32_t> token_id(const GgufKeys& keys, std::string_view name, size_t tokens) {
  const auto id = keys.integer("tokenizer.ggml." + std::string(name), 0, UINT32_MAX);
  if (!id || *id == UINT32_MAX) return std::nullopt;
  keys.integer("tokenizer.ggml." + std::string(name), 0, static_cast<int64_t>(tokens) - 1);
  return static_cast<int32_t>(*id);
}

void check_length(const GgufFile& file, std::string_view key, size_t length, size_t tokens) {
  if (length == tokens) return;
  throw bad_input("{}: {}: {} elements, expected {} (one a token)", file.path(), key, length,
                  tokens);
}

std::optional<GgufTokenizer> read_tokenizer(const GgufFile& file, const GgufKeys& keys) {
  const auto model = keys.text("tokenizer.ggml.model");
  const auto* tokens = keys.texts("tokenizer.ggml.tokens");
  if (!model || tokens == nullptr) return std::nullopt;
  if (tokens->size() > INT32_MAX) throw bad_input("{}: more than 2^31 tokens", file.path());
  GgufTokenizer tokenizer;
  tokenizer.model = *model;
  tokenizer.pre = keys.text("tokenizer.ggml.pre").value_or("");
  tokenizer.tokens = *tokens;
  const size_t count = tokens->size();
  if (const auto* types = keys.integers("tokenizer.ggml.token_type")) {
    check_length(file, "tokenizer.ggml.token_type", types->size(), count);
    tokenizer.types.reserve(count);
    for (const int64_t type : *types) {
      if (type < 0 || type > 6) {
        throw bad_input("{}: tokenizer.ggml.token_type holds {}, expected 1 to 6", file.path(),
                        type);
      }
      tokenizer.types.push_back(static_cast<int32_t>(type));
    }
  }
  if (const auto* scores = keys.numbers("tokenizer.ggml.scores")) {
    check_length(file, "tokenizer.ggml.scores", scores->size(), count);
    tokenizer.scores.assign(scores->begin(), scores->end());
  }
  if (const auto* merges = keys.texts("tokenizer.ggml.merges")) tokenizer.merges = *merges;
  tokenizer.bos = token_id(keys, "bos_token_id", count);
  tokenizer.eos = token_id(keys, "eos_token_id", count);
  tokenizer.unknown = token_id(keys, "unknown_token_id", count);
  tokenizer.padding = token_id(keys, "padding_token_id", count);
  tokenizer.add_bos = keys.flag("tokenizer.ggml.add_bos_token");
  tokenizer.add_eos = keys.flag("tokenizer.ggml.add_eos_token");
  tokenizer.add_space_prefix = keys.flag("tokenizer.ggml.add_space_prefix");
  return tokenizer;
}

// Generation stops at the end of a text, of a turn and of a message.
Json generation_config(const GgufKeys& keys, size_t tokens) {
  Json config = Json::object();
  if (const auto bos = token_id(keys, "bos_token_id", tokens)) config["bos_token_id"] = *bos;
  std::vector<int32_t> ends;
  for (const char* name : {"eos_token_id", "eot_token_id", "eom_token_id"}) {
    const auto id = token_id(keys, name, tokens);
    if (id && std::find(ends.begin(), ends.end(), *id) == ends.end()) ends.push_back(*id);
  }
  if (ends.size() == 1) config["eos_token_id"] = ends[0];
  if (ends.size() > 1) config["eos_token_id"] = ends;
  if (const auto pad = token_id(keys, "padding_token_id", tokens)) config["pad_token_id"] = *pad;
  return config.empty() ? Json(nullptr) : config;
}

}  // namespace

Metadata gguf_metadata(const GgufFile& file) {
  const GgufKeys keys(file);
  Metadata metadata;
  metadata.origin = file.path();
  metadata.config = ConfigWriter(file, keys).write();
  metadata.tokenizer.gguf = read_tokenizer(file, keys);
  const size_t tokens =
      metadata.tokenizer.gguf ? metadata.tokenizer.gguf->tokens.size() : INT32_MAX;
  metadata.generation_config = generation_config(keys, tokens);
  metadata.chat_template = keys.text("tokenizer.chat_template").value_or("");
  metadata.gguf_keys = keys.short_values();
  return metadata;
}

}  // namespace halftone
