#include "model/stop_tokens.h"

#include <fmt/core.h>

#include <filesystem>

#include "base/error.h"
#include "base/progress.h"

namespace halftone {
namespace {

const Json* find(const Json& object, const char* key) {
  if (!object.is_object()) return nullptr;
  const auto found = object.find(key);
  return found == object.end() || found->is_null() ? nullptr : &*found;
}

// The generation configuration lies beside config.json; a GGUF is both.
std::string generation_origin(const Metadata& metadata) {
  const std::filesystem::path path(metadata.origin);
  if (path.filename() != "config.json") return metadata.origin;
  return (path.parent_path() / "generation_config.json").string();
}

}  // namespace

StopTokens read_stop_tokens(const Metadata& metadata, int64_t vocab) {
  constexpr const char* kKey = "eos_token_id";
  StopTokens stop;
  const Json* value = find(metadata.generation_config, kKey);
  const std::string origin = value ? generation_origin(metadata) : metadata.origin;
  if (!value) value = find(metadata.config, kKey);
  if (const Json* text = find(metadata.config, "text_config"); text && !value)
    value = find(*text, kKey);
  if (!value) return stop;
  const Json list = value->is_array() ? *value : Json::array({*value});
  std::string outside;
  for (const Json& id : list) {
    if (!id.is_number_integer() || id < 0)
      throw bad_input("{}: {}: got {}, expected token ids", origin, kKey, id.dump());
    if (id < vocab)
      stop.ids.push_back(id.get<int32_t>());
    else
      outside += (outside.empty() ? "" : ", ") + id.dump();
  }
  if (!outside.empty())
    stop.outside = fmt::format("{}: {} {} is not in the vocabulary of {}", origin, kKey, outside,
                               human_count(vocab));
  return stop;
}

}  // namespace halftone
