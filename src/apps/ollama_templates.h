// The usual chat formats in Go's template language, as Ollama fills it in: .System is all system
// messages, .Messages all messages (each with .Role, .Content, .ToolCalls), .Tools what may be
// called.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace halftone {

struct OllamaTemplate {
  std::string_view mark;  // in the Jinja templates of this format
  std::string_view plain;
  std::vector<std::string_view> stops;
  // With tools, as Jinja templates tell models of them that render each of these pieces for a tool
  // f, its call with {"a": 1} and the result R. Empty: no usual form of tools is known.
  std::string_view with_tools = {};
  std::vector<std::string_view> tool_pieces = {};
};

// By its mark; nullptr: none of the usual ones.
const OllamaTemplate* find_ollama_template(std::string_view jinja);

}  // namespace halftone
