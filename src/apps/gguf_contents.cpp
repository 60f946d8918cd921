// Keys as llama.cpp's converter writes them (ggml's docs/gguf.md); io/gguf_metadata.cpp reads them
// back.
#include "apps/gguf_contents.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "base/log.h"
#include "text/gguf_arrays.h"

namespace halftone {
namespace {

// "model.Q4_1.gguf" → "model": without the ending and a type that is not this file's.
std::string base_name(std::string name) {
  if (name.ends_with(".gguf")) name.resize(name.size() - 5);
  for (const GgufMix& mix : gguf_mixes())
    for (const char* separator : {"-", "."}) {
      const std::string tail = separator + std::string(mix.name);
      const size_t length = name.size() - std::min(name.size(), tail.size());
      const bool same = length > 0 && std::equal(tail.begin(), tail.end(),
                                                 name.begin() + static_cast<std::ptrdiff_t>(length),
                                                 [](unsigned char a, unsigned char b) {
                                                   return std::toupper(a) == std::toupper(b);
                                                 });
      if (same) name.resize(length);
    }
  return name;
}

class ContentsWriter {
 public:
  ContentsWriter(const OpenedModel& model, const GgufMix& mix)
      : model_(model), config_(model.config()), mix_(mix), family_(gguf_family(model)) {}

  GgufContents write() {
    const std::string name = base_name(model_.name());
    out_.file_name = name + "-" + std::string(mix_.name) + ".gguf";
    put_general(name);
    put_shape();
    put_rope();
    if (family_.windows()) put_gemma3();
    warn_of_windows();
    put_tokenizer();
    for (const TensorKey& key : model_.tensors->keys())
      out_.tensors.push_back({key, model_.tensors->name(key)});
    out_.family = &family_;
    out_.heads = config_.heads;
    out_.kv_heads = config_.kv_heads;
    out_.modelfile = ollama_modelfile(model_.checkpoint->metadata(), out_.file_name);
    return std::move(out_);
  }

 private:
  void put(const std::string& name, GgufField value) {
    out_.fields.emplace_back(name, std::move(value));
  }
  void put_of_arch(const std::string& name, GgufField value) {
    put(std::string(family_.architecture) + "." + name, std::move(value));
  }
  void put_count(const std::string& name, int64_t value) {
    put_of_arch(name, static_cast<uint32_t>(value));
  }
  void put_number(const std::string& name, double value) {
    put_of_arch(name, static_cast<float>(value));
  }

  void put_general(const std::string& name) {
    put("general.architecture", std::string(family_.architecture));
    put("general.type", std::string("model"));
    if (!put_general_of_source()) put("general.name", name);
    put("general.file_type", mix_.file_type);
    if (!is_dense_ggml(mix_.type)) put("general.quantization_version", uint32_t{2});
  }

  // Name, authors, licence, tags of a GGUF. False where it has no name.
  bool put_general_of_source() {
    if (!model_.checkpoint->is_gguf()) return false;
    bool named = false;
    for (const auto& [key, value] : model_.checkpoint->gguf()->keys()) {
      if (!key.starts_with("general.") || key == "general.architecture" || key == "general.type")
        continue;
      if (const auto* text = std::get_if<std::string>(&value)) put(key, *text);
      if (const auto* texts = std::get_if<std::vector<std::string>>(&value)) put(key, *texts);
      named = named || key == "general.name";
    }
    return named;
  }

  void put_shape() {
    put_count("block_count", config_.layers);
    put_count("context_length", std::min<int64_t>(config_.max_positions, INT32_MAX));
    put_count("embedding_length", config_.hidden);
    put_count("feed_forward_length", config_.intermediate);
    put_count("attention.head_count", config_.heads);
    put_count("attention.head_count_kv", config_.kv_heads);
    put_count("attention.key_length", config_.head_dim);
    put_count("attention.value_length", config_.head_dim);
    put_number("attention.layer_norm_rms_epsilon", config_.norm.epsilon);
    if (family_.counts_tokens) {
      put_count("vocab_size", config_.vocab);
      put_count("rope.dimension_count", config_.head_dim);
    }
  }

  void put_rope() {
    const RopeConfig& rope = config_.rope;
    put_number("rope.freq_base", rope.theta);
    if (rope.scaling == RopeScaling::linear || rope.scaling == RopeScaling::yarn) {
      put_of_arch("rope.scaling.type",
                  std::string(rope.scaling == RopeScaling::linear ? "linear" : "yarn"));
      put_number("rope.scaling.factor", rope.factor);
    }
    if (rope.scaling == RopeScaling::yarn) {
      put_count("rope.scaling.original_context_length", rope.original_positions);
      put_yarn(rope);
    }
    if (rope.scaling == RopeScaling::llama3 || !rope.factors.empty()) put_factors(rope);
  }

  // llama.cpp multiplies cos and sin by 1 + 0.1 ln(factor) itself, and by the attention factor
  // then.
  void put_yarn(const RopeConfig& rope) {
    const double own = rope.factor <= 1 ? 1 : 1 + 0.1 * std::log(rope.factor);
    if (std::abs(rope.attention_factor - own) > 1e-6)
      put_number("rope.scaling.yarn_attn_factor", rope.attention_factor / own);
    if (rope.beta_fast != 32) put_number("rope.scaling.yarn_beta_fast", rope.beta_fast);
    if (rope.beta_slow != 1) put_number("rope.scaling.yarn_beta_slow", rope.beta_slow);
  }

  // What plain frequencies are divided by.
  void put_factors(const RopeConfig& rope) {
    const RopeTable plain = rope_table({.theta = rope.theta}, config_.head_dim);
    const RopeTable scaled = rope_table(rope, config_.head_dim);
    for (size_t i = 0; i < plain.frequencies.size(); ++i)
      out_.rope_factors.push_back(plain.frequencies[i] / scaled.frequencies[i]);
  }

  void put_gemma3() {
    const auto largest = std::max_element(config_.window.begin(), config_.window.end());
    if (largest != config_.window.end() && *largest > 0) {
      put_count("attention.sliding_window", *largest);
      put_number("rope.freq_base_swa", config_.local_rope.theta);
      put_pattern();
    }
    if (config_.final_softcap > 0) put_number("final_logit_softcapping", config_.final_softcap);
    put_scale();
  }

  // llama.cpp does not read it: it takes the head's width, but for the 27B model.
  void put_scale() {
    const bool largest = config_.layers == family_.odd_layers;
    const int64_t width = largest ? config_.hidden / config_.heads : config_.head_dim;
    const double own = 1 / std::sqrt(static_cast<double>(width));
    if (std::abs(config_.attn_scale - own) < 1e-6 * own) return;
    put_number("attention.scale", config_.attn_scale);
    spdlog::warn(
        "llama.cpp scales this family's q·k by {:.4g}, whatever the file says: the model "
        "wants {:.4g}",
        own, config_.attn_scale);
  }

  // Every n-th layer sees everything.
  void put_pattern() {
    const auto whole = std::find(config_.window.begin(), config_.window.end(), 0);
    const int64_t pattern = whole - config_.window.begin() + 1;
    for (size_t i = 0; i < config_.window.size(); ++i)
      if ((config_.window[i] == 0) != ((static_cast<int64_t>(i) + 1) % pattern == 0))
        throw usage_error(
            "--format gguf: the layers with a window do not repeat, and llama.cpp "
            "wants every n-th one without");
    if (pattern != family_.window_pattern) put_count("attention.sliding_window_pattern", pattern);
  }

  void warn_of_windows() const {
    if (family_.windows()) return;
    const bool windows = std::any_of(config_.window.begin(), config_.window.end(), [&](int window) {
      return window > 0 && window < config_.max_positions;
    });
    if (windows)
      spdlog::warn(
          "llama.cpp knows no window in this family: beyond it, its attention sees more "
          "than the model was trained with");
  }

  void put_id(const char* name, std::optional<int32_t> id) {
    if (id) put("tokenizer.ggml." + std::string(name) + "_token_id", static_cast<uint32_t>(*id));
  }

  void put_tokenizer() {
    const Metadata& metadata = model_.checkpoint->metadata();
    GgufTokenizer tokenizer = gguf_tokenizer_of(metadata, config_.vocab);
    put("tokenizer.ggml.model", tokenizer.model);
    if (!tokenizer.pre.empty()) put("tokenizer.ggml.pre", tokenizer.pre);
    put("tokenizer.ggml.tokens", std::move(tokenizer.tokens));
    if (!tokenizer.scores.empty()) put("tokenizer.ggml.scores", std::move(tokenizer.scores));
    if (!tokenizer.types.empty()) put("tokenizer.ggml.token_type", std::move(tokenizer.types));
    if (!tokenizer.merges.empty()) put("tokenizer.ggml.merges", std::move(tokenizer.merges));
    put_id("bos", tokenizer.bos);
    put_id("eos", tokenizer.eos);
    for (const int32_t end : config_.eos)  // generation stops at another token, too
      if (end != tokenizer.eos) {
        put_id("eot", end);
        break;
      }
    put_id("unknown", tokenizer.unknown);
    put_id("padding", tokenizer.padding);
    if (tokenizer.add_bos) put("tokenizer.ggml.add_bos_token", *tokenizer.add_bos);
    if (tokenizer.add_eos) put("tokenizer.ggml.add_eos_token", *tokenizer.add_eos);
    if (tokenizer.add_space_prefix)
      put("tokenizer.ggml.add_space_prefix", *tokenizer.add_space_prefix);
    if (!metadata.chat_template.empty()) put("tokenizer.chat_template", metadata.chat_template);
  }

  const OpenedModel& model_;
  const ModelConfig& config_;
  const GgufMix& mix_;
  const GgufFamily& family_;
  GgufContents out_;
};

}  // namespace

GgufContents gguf_contents(const OpenedModel& model, const GgufMix& mix) {
  return ContentsWriter(model, mix).write();
}

}  // namespace halftone
