// See chat_template.h.
#include "text/chat_template.h"

#include <filesystem>
#include <utility>

#include "base/error.h"

namespace halftone {
namespace {

constexpr const char* kSpecialTokens[] = {"bos_token", "eos_token", "unk_token", "pad_token",
                                          "sep_token", "cls_token", "mask_token"};

// A token stands there as a string, or as an object with its content.
void add_tokens(const std::string& text, const std::string& origin, Json& tokens) {
  if (text.empty()) return;
  const Json json = parse_json(text, origin);
  if (!json.is_object()) throw bad_input("{}: expected an object", origin);
  for (const char* name : kSpecialTokens) {
    const auto found = json.find(name);
    if (found == json.end() || tokens.contains(name)) continue;
    const bool object = found->is_object() && found->contains("content");
    const Json& content = object ? found->at("content") : *found;
    if (content.is_string()) tokens[name] = content;
  }
}

void add_tokens(const GgufTokenizer& gguf, Json& tokens) {
  const std::pair<const char*, std::optional<int32_t>> ids[] = {{"bos_token", gguf.bos},
                                                                {"eos_token", gguf.eos},
                                                                {"unk_token", gguf.unknown},
                                                                {"pad_token", gguf.padding}};
  for (const auto& [name, id] : ids)
    if (id && *id >= 0 && static_cast<size_t>(*id) < gguf.tokens.size())
      tokens[name] = gguf.tokens[static_cast<size_t>(*id)];
}

}  // namespace

std::optional<ChatTemplate> ChatTemplate::load(const Metadata& metadata) {
  if (metadata.chat_template.empty()) return std::nullopt;
  const TokenizerFiles& files = metadata.tokenizer;
  Json tokens = Json::object();
  if (files.gguf) {
    add_tokens(*files.gguf, tokens);
  } else {
    const std::string beside = std::filesystem::path(metadata.origin).parent_path().string();
    add_tokens(files.tokenizer_config_json, beside + "/tokenizer_config.json", tokens);
    add_tokens(files.special_tokens_map_json, beside + "/special_tokens_map.json", tokens);
  }
  try {
    return ChatTemplate(jinja::Template("chat template", metadata.chat_template),
                        std::move(tokens));
  } catch (const Error& error) {
    throw bad_input("{}: {}", metadata.origin, error.what())
        .hint("give each chat as one \"text\", or a template without that as chat_template.jinja.");
  }
}

std::string ChatTemplate::render(const Json& messages, const ChatRendering& rendering) const {
  Json variables = special_tokens_;
  variables["messages"] = messages;
  variables["tools"] = rendering.tools ? *rendering.tools : Json(nullptr);
  variables["documents"] = nullptr;
  variables["add_generation_prompt"] = rendering.add_generation_prompt;
  return template_.render(variables, rendering.now);
}

std::optional<std::string> ChatTemplate::default_system_prompt() const {
  const std::string mark = "dc3ba1e2";  // that no template holds
  const Json user = {{"role", "user"}, {"content", "Hi"}};
  // A Monday morning, and a Wednesday night: nothing that tells the date is the same in both.
  constexpr std::time_t first = 1719829230, second = 1762983834;
  const auto rendered = [&](const std::optional<std::string>& system, std::time_t now) {
    Json messages = Json::array();
    if (system) messages.push_back({{"role", "system"}, {"content", *system}});
    messages.push_back(user);
    ChatRendering rendering;
    gmtime_r(&now, &rendering.now);
    return render(messages, rendering);
  };
  try {
    const std::string marked = rendered(mark, first), without = rendered(std::nullopt, first);
    const size_t begin = marked.find(mark);
    if (begin == std::string::npos || marked.size() - mark.size() >= without.size())
      return std::nullopt;
    const std::string prompt =
        without.substr(begin, without.size() - (marked.size() - mark.size()));
    if (rendered(prompt, first) != without ||
        rendered(prompt, second) != rendered(std::nullopt, second))
      return std::nullopt;
    return prompt;
  } catch (const Error& error) {
    if (error.exit() != Exit::bad_input) throw;
    return std::nullopt;  // it takes no system message, or no chat as short as this
  }
}

}  // namespace halftone
