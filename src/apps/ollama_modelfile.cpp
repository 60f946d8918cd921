// Ollama's Modelfile. It has a template language of its own (Go's), so the usual formats are
// written in it; for any other, Ollama looks the model's own template up among those it knows. In
// both, SYSTEM is the first message of a chat that brings none of its own.
#include "apps/gguf_contents.h"
#include "base/error.h"
#include "base/log.h"
#include "text/chat_template.h"

namespace halftone {
namespace {

struct ChatFormat {
  std::string_view mark;  // in the Jinja template
  std::string_view go_template;
  std::initializer_list<std::string_view> stops;
};

constexpr std::string_view kChatMl =
    "{{- range .Messages }}<|im_start|>{{ .Role }}\n"
    "{{ .Content }}<|im_end|>\n"
    "{{ end }}<|im_start|>assistant\n";
constexpr std::string_view kLlama3 =
    "{{- range .Messages }}<|start_header_id|>{{ .Role }}<|end_header_id|>\n\n"
    "{{ .Content }}<|eot_id|>{{ end }}<|start_header_id|>assistant<|end_header_id|>\n\n";
constexpr std::string_view kGemma =
    "{{- range .Messages }}<start_of_turn>{{ if eq .Role \"assistant\" }}model{{ else }}user{{ end "
    "}}\n"
    "{{ .Content }}<end_of_turn>\n"
    "{{ end }}<start_of_turn>model\n";
constexpr std::string_view kMistral =
    "{{- range .Messages }}{{ if eq .Role \"assistant\" }} {{ .Content }}</s>{{ else }}[INST] {{ "
    ".Content }} [/INST]{{ end }}{{ end }}";

const ChatFormat kFormats[] = {{"<|im_start|>", kChatMl, {"<|im_end|>"}},
                               {"<|start_header_id|>", kLlama3, {"<|eot_id|>"}},
                               {"<start_of_turn>", kGemma, {"<end_of_turn>"}},
                               {"[INST]", kMistral, {"[INST]", "[/INST]"}}};

constexpr std::string_view kQuotes = "\"\"\"";

std::string triple_quoted(std::string_view text) {
  return fmt::format("{}{}{}", kQuotes, text, kQuotes);
}

// What the template says to a chat without a system message; empty: nothing.
std::string default_system_prompt(const Metadata& metadata) {
  std::string prompt;
  try {
    if (const auto chat_template = ChatTemplate::load(metadata))
      prompt = chat_template->default_system_prompt().value_or("");
  } catch (const Error& error) {
    if (error.exit() != Exit::bad_input) throw;
    spdlog::warn("{}: a default system prompt, if it has one, is not in the Modelfile",
                 error.what());
  }
  if (prompt.find(kQuotes) == std::string::npos) return prompt;
  spdlog::warn("the template's default system prompt holds {}, which a Modelfile cannot: left out",
               kQuotes);
  return "";
}

}  // namespace

std::string ollama_modelfile(const Metadata& metadata, const std::string& file_name) {
  std::string text = "# ollama create NAME -f Modelfile\nFROM ./" + file_name + "\n";
  for (const ChatFormat& format : kFormats) {
    if (metadata.chat_template.find(format.mark) == std::string::npos) continue;
    text += "TEMPLATE " + triple_quoted(format.go_template) + "\n";
    for (const std::string_view stop : format.stops)
      text += "PARAMETER stop \"" + std::string(stop) + "\"\n";
    break;
  }
  if (const std::string prompt = default_system_prompt(metadata); !prompt.empty())
    text += "SYSTEM " + triple_quoted(prompt) + "\n";
  return text;
}

}  // namespace halftone
