// One gathering of facts, shown as JSON or as text.
#include "apps/inspect.h"

#include <fmt/core.h>

#include <algorithm>
#include <map>
#include <optional>

#include "base/count_text.h"
#include "base/error.h"
#include "base/progress.h"

namespace halftone {
namespace {

// All tensors of one role: how many, which shape, what it takes.
struct RoleFacts {
  Role role = Role::embed;
  int64_t count = 0, rows = 0, cols = 0, parameters = 0, bytes = 0;
  double bits = 0;  // Σ bits a weight · parameters
  std::map<std::string, int64_t> encodings;
};

std::vector<RoleFacts> gather_roles(const OpenedModel& model) {
  std::map<Role, RoleFacts> roles;
  for (const TensorKey& key : model.tensors->keys()) {
    const StoredTensor& stored = model.tensors->stored(key);
    const auto [rows, cols] = model.tensors->shape(key);
    RoleFacts& facts = roles[key.role];
    facts.role = key.role;
    if (key.part == Part::weight) {
      ++facts.count;
      facts.rows = rows;
      facts.cols = cols;
      ++facts.encodings[stored.encoding];
    }
    facts.parameters += rows * cols;
    facts.bytes += stored.bytes;
    facts.bits += stored.bits_per_weight() * static_cast<double>(rows * cols);
  }
  std::vector<RoleFacts> list;
  for (const auto& [role, facts] : roles) list.push_back(facts);
  return list;
}

std::string encodings_text(const RoleFacts& facts) {
  std::string text;
  for (const auto& [encoding, count] : facts.encodings)
    text += (text.empty() ? "" : ", ") +
            (facts.encodings.size() > 1 ? fmt::format("{} ×{}", encoding, count) : encoding);
  return text;
}

// A model without a tokenizer is still worth looking at.
struct TokenizerFacts {
  std::string kind, trouble;
  int64_t vocab = 0;
  std::optional<int32_t> bos;
};

TokenizerFacts gather_tokenizer(const OpenedModel& model) {
  TokenizerFacts facts;
  try {
    const Tokenizer tokenizer = Tokenizer::load(model.checkpoint->metadata());
    facts.kind = tokenizer.kind();
    facts.vocab = tokenizer.vocab_size();
    facts.bos = tokenizer.bos();
  } catch (const Error& error) {
    facts.trouble = error.what();
  }
  return facts;
}

Json configuration_json(const ModelConfig& config) {
  Json json;
  json["hidden_size"] = config.hidden;
  json["num_hidden_layers"] = config.layers;
  json["num_attention_heads"] = config.heads;
  json["num_key_value_heads"] = config.kv_heads;
  json["head_dim"] = config.head_dim;
  json["intermediate_size"] = config.intermediate;
  json["vocab_size"] = config.vocab;
  json["max_position_embeddings"] = config.max_positions;
  json["tie_word_embeddings"] = config.tied_embeddings;
  json["rope_theta"] = config.rope.theta;
  json["layers_with_window"] =
      std::count_if(config.window.begin(), config.window.end(), [](int w) { return w > 0; });
  return json;
}

// Linears, embedding and head, in the model's order.
struct ModuleFacts {
  std::string name;
  int64_t rows = 0, cols = 0;
  const StoredTensor* stored = nullptr;
};

std::vector<ModuleFacts> gather_modules(const OpenedModel& model) {
  std::vector<ModuleFacts> modules;
  for (const TensorKey& key : model.tensors->keys()) {
    const bool table = key.role == Role::embed || key.role == Role::head;
    if (key.part != Part::weight || (!is_linear(key.role) && !table)) continue;
    const auto [rows, cols] = model.tensors->shape(key);
    modules.push_back(
        {module_name(model.tensors->name(key)), rows, cols, &model.tensors->stored(key)});
  }
  return modules;
}

std::string first_line(const std::string& text) {
  const std::string line = text.substr(0, text.find('\n'));
  return line.size() > 60 ? line.substr(0, 57) + "..." : line;
}

}  // namespace

Json inspect_json(const OpenedModel& model) {
  const ModelSize size = measure_size(model);
  const TokenizerFacts tokenizer = gather_tokenizer(model);
  const Metadata& metadata = model.checkpoint->metadata();
  Json json;
  json["name"] = model.name();
  json["path"] = model.checkpoint->path();
  json["container"] = model.checkpoint->is_gguf() ? "gguf" : "safetensors";
  json["family"] = model.config().model_type;
  json["config"] = configuration_json(model.config());
  json["quantization"] = model.quantized() ? Json(model.quantization) : Json(nullptr);
  json["parameters"] = size.parameters;
  json["size_bytes"] = size.file_bytes;
  json["bits_per_weight_linears"] = size.bits_per_weight_linears;
  json["bits_per_weight_file"] = size.bits_per_weight_file;
  for (const RoleFacts& facts : gather_roles(model)) {
    Json entry;
    entry["role"] = name_of(facts.role);
    entry["count"] = facts.count;
    entry["shape"] = {facts.rows, facts.cols};
    entry["encodings"] = facts.encodings;
    entry["bytes"] = facts.bytes;
    entry["bits_per_weight"] = facts.bits / static_cast<double>(facts.parameters);
    json["roles"].push_back(std::move(entry));
  }
  Json& about = json["tokenizer"];
  about["kind"] = tokenizer.kind.empty() ? Json(nullptr) : Json(tokenizer.kind);
  about["vocab_size"] = tokenizer.vocab;
  about["bos_token_id"] = tokenizer.bos ? Json(*tokenizer.bos) : Json(nullptr);
  if (!tokenizer.trouble.empty()) about["error"] = tokenizer.trouble;
  json["chat_template"] =
      metadata.chat_template.empty() ? Json(nullptr) : Json(metadata.chat_template);
  if (model.checkpoint->is_gguf()) {
    Json& keys = json["gguf_keys"];
    for (const auto& [key, value] : metadata.gguf_keys) keys[key] = value;
  }
  return json;
}

std::string inspect_text(const OpenedModel& model) {
  const ModelSize size = measure_size(model);
  const ModelConfig& config = model.config();
  const Metadata& metadata = model.checkpoint->metadata();
  const TokenizerFacts tokenizer = gather_tokenizer(model);
  std::string text = fmt::format(
      "{}\nfamily          {}: {}, hidden {}, {} of {} ({} key-value), intermediate "
      "{}, "
      "vocabulary {}\n",
      model.checkpoint->path(), config.model_type, count_text(config.layers, "layer"),
      config.hidden, count_text(config.heads, "head"), config.head_dim, config.kv_heads,
      config.intermediate, human_count(config.vocab));
  text += fmt::format(
      "quantization    {}\nsize            {}, {} parameters; {:.3f} bits a weight "
      "in the linears, {:.2f} over the whole file\n",
      model.quantized() ? model.quantization : "none", human_bytes(size.file_bytes),
      human_count(size.parameters), size.bits_per_weight_linears, size.bits_per_weight_file);
  text += tokenizer.trouble.empty()
              ? fmt::format("tokenizer       {}, {} tokens{}\n", tokenizer.kind,
                            human_count(tokenizer.vocab),
                            tokenizer.bos ? fmt::format(", begins with {}", *tokenizer.bos) : "")
              : fmt::format("tokenizer       {}\n", tokenizer.trouble);
  text += fmt::format("chat template   {}\n\n",
                      metadata.chat_template.empty() ? "none" : first_line(metadata.chat_template));
  text += fmt::format("{:<15} {:>5}  {:<16} {:<24} {:>10}  {}\n", "role", "count", "shape",
                      "stored as", "size", "bits/weight");
  for (const RoleFacts& facts : gather_roles(model))
    text += fmt::format("{:<15} {:>5}  {:<16} {:<24} {:>10}  {:.3f}\n", name_of(facts.role),
                        facts.count, fmt::format("[{}, {}]", facts.rows, facts.cols),
                        encodings_text(facts), human_bytes(facts.bytes),
                        facts.bits / static_cast<double>(facts.parameters));
  if (!model.checkpoint->is_gguf()) return text;
  text += "\nGGUF keys\n";
  for (const auto& [key, value] : metadata.gguf_keys)
    text += fmt::format("  {:<40} {}\n", key, first_line(value));
  return text;
}

std::string modules_text(const OpenedModel& model) {
  const std::vector<ModuleFacts> modules = gather_modules(model);
  size_t width = 6;
  for (const ModuleFacts& module : modules) width = std::max(width, module.name.size());
  std::string text = fmt::format("{:<{}}  {:<16} {:<24} {}\n", "module", width, "shape",
                                 "stored as", "bits/weight");
  for (const ModuleFacts& module : modules)
    text += fmt::format("{:<{}}  {:<16} {:<24} {:.3f}\n", module.name, width,
                        fmt::format("[{}, {}]", module.rows, module.cols), module.stored->encoding,
                        module.stored->bits_per_weight());
  return text;
}

Json modules_json(const OpenedModel& model) {
  Json list = Json::array();
  for (const ModuleFacts& module : gather_modules(model)) {
    const StoredTensor& stored = *module.stored;
    Json entry = {{"module", module.name},
                  {"shape", {module.rows, module.cols}},
                  {"encoding", stored.encoding},
                  {"bits_per_weight", stored.bits_per_weight()}};
    if (stored.grid) {
      entry["bits"] = stored.grid->bits;
      entry["group_size"] = stored.grid->group_size;
      entry["sym"] = stored.grid->symmetric;
    }
    list.push_back(std::move(entry));
  }
  return list;
}

}  // namespace halftone
