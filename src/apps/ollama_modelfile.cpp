// Ollama's Modelfile. It has a template language of its own (Go's), so the usual formats are
// written in it; for any other, Ollama looks the model's own template up among those it knows. In
// both, SYSTEM is the first message of a chat that brings none of its own. Ollama offers tools to a
// model whose template names .Tools, and finds calls in what it writes by the first words behind
// {{ if .ToolCalls }}.
#include <algorithm>
#include <vector>

#include "apps/gguf_contents.h"
#include "apps/ollama_templates.h"
#include "base/error.h"
#include "base/log.h"
#include "text/chat_template.h"

namespace halftone {
namespace {

constexpr std::string_view kQuotes = "\"\"\"";

std::string triple_quoted(std::string_view text) {
  return fmt::format("{}{}{}", kQuotes, text, kQuotes);
}

std::optional<ChatTemplate> load_template(const Metadata& metadata) try {
  return ChatTemplate::load(metadata);
} catch (const Error& error) {
  if (error.exit() != Exit::bad_input) throw;
  spdlog::warn("{}: what it says of system prompts and tools is not in the Modelfile",
               error.what());
  return std::nullopt;
}

// What the template says to a chat without a system message; empty: nothing.
std::string default_system_prompt(const ChatTemplate& chat_template) {
  const std::string prompt = chat_template.default_system_prompt().value_or("");
  if (prompt.find(kQuotes) == std::string::npos) return prompt;
  spdlog::warn("the template's default system prompt holds {}, which a Modelfile cannot: left out",
               kQuotes);
  return "";
}

enum class Tools : uint8_t { none, known, other };

// How the template tells a model of tools: what it makes of a chat with one, a call and an answer.
Tools tools_of(const ChatTemplate& chat_template, const OllamaTemplate& known) {
  const Json tools = Json::parse(R"([{"type": "function", "function": {"name": "f",
      "description": "d", "parameters": {"type": "object", "properties": {"a": {"type": "integer"}},
      "required": ["a"]}}}])");
  const Json chat = Json::parse(R"([{"role": "system", "content": "S"},
      {"role": "user", "content": "Q"},
      {"role": "assistant", "content": "", "tool_calls":
          [{"type": "function", "id": "callfun01", "function":
              {"name": "f", "arguments": {"a": 1}}}]},
      {"role": "tool", "content": "R", "name": "f", "tool_call_id": "callfun01"}])");
  const Json asked = {chat[0], chat[1]};
  try {
    if (chat_template.render(asked, {.tools = &tools}) == chat_template.render(asked, {}))
      return Tools::none;
    const std::string text = chat_template.render(chat, {.tools = &tools});
    const bool same = !known.with_tools.empty() &&
                      std::ranges::all_of(known.tool_pieces, [&](std::string_view piece) {
                        return text.find(piece) != std::string::npos;
                      });
    return same ? Tools::known : Tools::other;
  } catch (const Error& error) {
    if (error.exit() != Exit::bad_input) throw;
    return Tools::other;  // of a chat that it refuses
  }
}

}  // namespace

std::string ollama_modelfile(const Metadata& metadata, const std::string& file_name) {
  std::string text = "# ollama create NAME -f Modelfile\nFROM ./" + file_name + "\n";
  const std::optional<ChatTemplate> chat_template = load_template(metadata);
  if (const OllamaTemplate* known = find_ollama_template(metadata.chat_template)) {
    const Tools tools = chat_template ? tools_of(*chat_template, *known) : Tools::none;
    if (tools == Tools::other)
      text += "# Without tools: the form in which this model is told of them is not known here.\n";
    text += "TEMPLATE " + triple_quoted(tools == Tools::known ? known->with_tools : known->plain) +
            "\n";
    for (const std::string_view stop : known->stops)
      text += "PARAMETER stop \"" + std::string(stop) + "\"\n";
  }
  const std::string prompt = chat_template ? default_system_prompt(*chat_template) : "";
  if (!prompt.empty()) text += "SYSTEM " + triple_quoted(prompt) + "\n";
  return text;
}

}  // namespace halftone
