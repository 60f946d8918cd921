// The numbers are those of the models' published config.json files.
#include "apps/model_shapes.h"

#include <algorithm>
#include <filesystem>
#include <string_view>

#include "base/error.h"
#include "io/checkpoint.h"

namespace halftone {
namespace {

struct Shape {
  std::string_view name, alias;  // alias: a shorter name, or empty
  std::string_view model_type;
  int64_t hidden, intermediate, layers, heads, kv_heads, vocab;
  bool tied = false;
};

constexpr Shape kShapes[] = {
    {"smollm2-135m", "", "llama", 576, 1536, 30, 9, 3, 49152, true},
    {"smollm2-1.7b", "", "llama", 2048, 8192, 24, 32, 32, 49152, true},
    {"qwen2.5-0.5b", "", "qwen2", 896, 4864, 24, 14, 2, 151936, true},
    {"qwen2.5-1.5b", "", "qwen2", 1536, 8960, 28, 12, 2, 151936, true},
    {"qwen2.5-7b", "", "qwen2", 3584, 18944, 28, 28, 4, 152064},
    {"qwen2.5-14b", "", "qwen2", 5120, 13824, 48, 40, 8, 152064},
    {"qwen2.5-32b", "qwq-32b", "qwen2", 5120, 27648, 64, 40, 8, 152064},
    {"qwen2.5-72b", "", "qwen2", 8192, 29568, 80, 64, 8, 152064},
    {"llama-3.1-8b", "llama-8b", "llama", 4096, 14336, 32, 32, 8, 128256},
    {"llama-3.1-70b", "llama-70b", "llama", 8192, 28672, 80, 64, 8, 128256},
    {"llama-3.1-405b", "llama-405b", "llama", 16384, 53248, 126, 128, 8, 128256},
};

Json config_of(const Shape& shape) {
  return {{"model_type", shape.model_type},
          {"hidden_size", shape.hidden},
          {"intermediate_size", shape.intermediate},
          {"num_hidden_layers", shape.layers},
          {"num_attention_heads", shape.heads},
          {"num_key_value_heads", shape.kv_heads},
          {"vocab_size", shape.vocab},
          {"max_position_embeddings", 131072},
          {"rms_norm_eps", 1e-6},
          {"rope_theta", 1e6},
          {"hidden_act", "silu"},
          {"tie_word_embeddings", shape.tied},
          {"torch_dtype", "bfloat16"}};
}

std::string known_shapes() {
  std::string names;
  for (const Shape& shape : kShapes) {
    names += fmt::format("{}{}", names.empty() ? "" : ", ", shape.name);
    if (!shape.alias.empty()) names += fmt::format(" ({})", shape.alias);
  }
  return names;
}

// Where the numbers of a model of text stand: within the configuration, for those that see as well.
Json& text_part(Json& config) {
  const auto nested = config.find("text_config");
  return nested != config.end() && nested->is_object() ? *nested : config;
}

}  // namespace

Json shape_config(const std::string& name) {
  std::string lower = name;
  std::transform(lower.begin(), lower.end(), lower.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  for (const Shape& shape : kShapes)
    if (lower == shape.name || lower == shape.alias) return config_of(shape);
  if (name.find('/') == std::string::npos && !std::filesystem::exists(name))
    throw usage_error("--shape {}: not known, and no model of that name is here", name)
        .hint("known: " + known_shapes() + "; or a model's directory.");
  Json config = Checkpoint::open(name).metadata().config;
  config.erase("quantization_config");
  return config;
}

Json with_layers(Json config, int64_t layers) {
  Json& text = text_part(config);
  text["num_hidden_layers"] = layers;
  const auto types = text.find("layer_types");  // one entry a layer
  if (types != text.end() && types->is_array() && types->size() > static_cast<size_t>(layers))
    types->erase(types->begin() + layers, types->end());
  return config;
}

}  // namespace halftone
