// Names that GPTQModel, AutoGPTQ, AutoAWQ, Optimum and mlx-lm have used for the same things.
#include "format/stated_quantization.h"

#include <algorithm>
#include <filesystem>
#include <vector>

#include "base/error.h"
#include "base/log.h"
#include "base/printable.h"

namespace halftone {
namespace {

std::string lower_case(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
  return text;
}

// `key`: what stands for it in config.json, empty for a file of its own.
StatedQuantization stated(const Json& json, const std::string& origin, std::string_view key) {
  const JsonObject config(json, origin);
  StatedQuantization result{json, origin, "", ""};
  result.format = any_text(config, {"checkpoint_format", "format", "version"}).value_or("");
  if (const auto method = any_text(config, {"quant_method", "method"}))
    result.method = *method == "compressed_tensors" ? "compressed-tensors" : *method;
  else if (key == "quantization" || (!key.empty() && config.has("mode")))
    result.method = "mlx";
  else
    result.method = result.format.starts_with("gem") ? "awq" : "gptq";  // AutoAWQ's old file
  return result;
}

// Places that say the same unless somebody edited one of them: the first is believed, but nothing
// can be believed of a method.
void check_agreement(StatedQuantization& first, const StatedQuantization& other) {
  if (first.method != other.method)
    throw bad_input("{}: quantized as {}, but {} says {}", first.origin, printable(first.method),
                    other.origin, printable(other.method))
        .hint("remove the one that is wrong.");
  std::string differing;
  for (const auto& [key, value] : first.json.items()) {
    if (key == "meta") continue;  // who made it, and how: nothing here goes by it
    const auto same = other.json.find(key);
    if (same == other.json.end() || *same == value) continue;
    first.differs_in_size |= key == "bits" || key == "group_size";
    differing += fmt::format("{}{} ({}, not {})", differing.empty() ? "" : ", ", printable(key),
                             printable(value.dump(), 40), printable(same->dump(), 40));
  }
  if (differing.empty()) return;
  first.differing = differing;
  spdlog::warn("{} and {} differ: the former is believed: {}", first.origin, other.origin,
               differing);
}

}  // namespace

std::optional<StatedQuantization> find_stated_quantization(const Checkpoint& checkpoint) {
  std::vector<StatedQuantization> found;
  for (const char* name : {"quantize_config.json", "quant_config.json"}) {
    const std::filesystem::path path = std::filesystem::path(checkpoint.path()) / name;
    std::error_code ignored;
    if (std::filesystem::exists(path, ignored))
      found.push_back(stated(read_json_file(path.string()), path.string(), ""));
  }
  const Json& config = checkpoint.metadata().config;
  const std::string& origin = checkpoint.metadata().origin;
  // mlx-lm writes both keys, and newer versions of it the second for other programs' sake.
  for (const char* key : {"quantization", "quantization_config"}) {
    const auto inside = config.find(key);
    if (inside == config.end() || inside->is_null()) continue;
    const bool named = inside->is_object() && inside->contains("quant_method");
    found.push_back(stated(*inside, origin + ": " + key,
                           config.contains("quantization") && !named ? "quantization" : key));
  }
  if (found.empty()) return std::nullopt;
  for (size_t i = 1; i < found.size(); ++i) check_agreement(found[0], found[i]);
  return std::move(found.front());
}

std::optional<std::string> any_text(const JsonObject& config,
                                    std::initializer_list<const char*> keys) {
  for (const char* key : keys)
    if (const auto text = config.maybe_text(key)) return lower_case(*text);
  return std::nullopt;
}

std::optional<int64_t> any_integer(const JsonObject& config,
                                   std::initializer_list<const char*> keys, int64_t least,
                                   int64_t most) {
  for (const char* key : keys)
    if (const auto value = config.maybe_integer(key, least, most)) return value;
  return std::nullopt;
}

Grid stated_grid(const JsonObject& config) {
  const auto required = [&](std::initializer_list<const char*> keys, int64_t least, int64_t most) {
    const auto value = any_integer(config, keys, least, most);
    if (!value) throw bad_input("{}: {}: missing", config.origin(), *keys.begin());
    return *value;
  };
  Grid grid;
  grid.bits = static_cast<int>(required({"bits", "wbits", "w_bit"}, 1, 32));
  grid.group_size = required({"group_size", "q_group_size"}, -1, 1 << 24);
  if (grid.group_size == 0)
    throw bad_input("{}: group_size 0, expected a positive number or -1", config.origin());
  grid.symmetric = config.has("sym") ? config.flag("sym", true) : !config.flag("zero_point", false);
  return grid;
}

}  // namespace halftone
