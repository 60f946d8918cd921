// Names that GPTQModel, AutoGPTQ, AutoAWQ and Optimum have used for the same things.
#include "format/gptq_config.h"

#include <algorithm>
#include <filesystem>

#include "base/error.h"
#include "base/json.h"
#include "base/log.h"
#include "base/printable.h"

namespace halftone {
namespace {

struct FoundConfig {
  Json json;
  std::string origin;
};

// The two places say the same unless somebody edited one of them.
void warn_of_conflict(const FoundConfig& file, const Json& inside, const std::string& origin) {
  std::string differing;
  for (const auto& [key, value] : file.json.items()) {
    const auto other = inside.find(key);
    if (other != inside.end() && *other != value)
      differing += fmt::format("{}{} ({}, not {})", differing.empty() ? "" : ", ", printable(key),
                               printable(value.dump(), 40), printable(other->dump(), 40));
  }
  if (!differing.empty())
    spdlog::warn("{} and the quantization_config of {} differ: the former is believed: {}",
                 file.origin, origin, differing);
}

std::optional<FoundConfig> find_config(const Checkpoint& checkpoint) {
  const Json& config = checkpoint.metadata().config;
  const auto inside = config.find("quantization_config");
  const bool is_inside = inside != config.end() && !inside->is_null();
  for (const char* name : {"quantize_config.json", "quant_config.json"}) {
    const std::filesystem::path path = std::filesystem::path(checkpoint.path()) / name;
    std::error_code ignored;
    if (std::filesystem::exists(path, ignored)) {
      FoundConfig found{read_json_file(path.string()), path.string()};
      if (is_inside && inside->is_object() && found.json.is_object())
        warn_of_conflict(found, *inside, checkpoint.metadata().origin);
      return found;
    }
  }
  if (!is_inside) return std::nullopt;
  return FoundConfig{*inside, checkpoint.metadata().origin + ": quantization_config"};
}

std::string lower_case(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
  return text;
}

// The first of the keys that is there.
std::optional<std::string> any_text(const JsonObject& config,
                                    std::initializer_list<const char*> keys) {
  for (const char* key : keys) {
    if (const auto text = config.maybe_text(key)) return lower_case(*text);
  }
  return std::nullopt;
}

int64_t any_integer(const JsonObject& config, std::initializer_list<const char*> keys,
                    int64_t least, int64_t most) {
  for (const char* key : keys) {
    if (const auto value = config.maybe_integer(key, least, most)) return *value;
  }
  throw bad_input("{}: {}: missing", config.origin(), *keys.begin());
}

void check_method(const JsonObject& config) {
  const std::string method = any_text(config, {"quant_method", "method"}).value_or("gptq");
  const std::string format =
      any_text(config, {"checkpoint_format", "format", "version"}).value_or("gptq");
  if (method == "gptq" && (format == "gptq" || format == "gptq_v2")) return;
  throw bad_input("{}: quantized as {} ({}), expected gptq or gptq_v2", config.origin(),
                  printable(method), printable(format))
      .hint("GPTQ, GGUF and unquantized safetensors are what can be read.");
}

}  // namespace

std::optional<GptqConfig> find_gptq_config(const Checkpoint& checkpoint) {
  const auto found = find_config(checkpoint);
  if (!found) return std::nullopt;
  const JsonObject config(found->json, found->origin);
  check_method(config);
  if (config.flag("is_marlin_format", false)) {
    throw bad_input("{}: repacked for Marlin, expected gptq or gptq_v2", found->origin)
        .hint("get the checkpoint that it was made from.");
  }
  const std::string word = config.maybe_text("pack_dtype").value_or("int32");
  if (word != "int32") {
    throw bad_input("{}: pack_dtype {}, expected int32", found->origin, printable(word));
  }

  GptqConfig result;
  result.origin = found->origin;
  result.grid.bits = static_cast<int>(any_integer(config, {"bits", "wbits", "w_bit"}, 1, 32));
  if (result.grid.bits != 2 && result.grid.bits != 3 && result.grid.bits != 4 &&
      result.grid.bits != 8) {
    throw bad_input("{}: bits {}, expected 2, 3, 4 or 8", found->origin, result.grid.bits);
  }
  result.grid.group_size = any_integer(config, {"group_size", "q_group_size"}, -1, 1 << 24);
  if (result.grid.group_size == 0) {
    throw bad_input("{}: group_size 0, expected a positive number or -1", found->origin);
  }
  result.grid.symmetric =
      config.has("sym") ? config.flag("sym", true) : !config.flag("zero_point", false);
  result.act_order = config.flag("desc_act", false);
  const auto format = any_text(config, {"checkpoint_format", "format", "version"});
  result.version = format == "gptq_v2" ? GptqVersion::v2 : GptqVersion::v1;
  return result;
}

}  // namespace halftone
