// Tools are told of as the models' own templates do: Qwen 2.5's and 3's (the form comes from Nous
// Research's Hermes 2 Pro) and Llama 3.1's to 3.3's.
#include "apps/ollama_templates.h"

namespace halftone {
namespace {

constexpr std::string_view kChatMl =
    "{{- range .Messages }}<|im_start|>{{ .Role }}\n"
    "{{ .Content }}<|im_end|>\n"
    "{{ end }}<|im_start|>assistant\n";

// Answers to several calls are one turn of the user's. A newline that is an action keeps it out of
// what Ollama looks for.
constexpr std::string_view kChatMlWithTools = R"(
{{- if .Tools }}<|im_start|>system
{{ if .System }}{{ .System }}

{{ end }}# Tools

You may call one or more functions to assist with the user query.

You are provided with function signatures within <tools></tools> XML tags:
<tools>
{{- range .Tools }}
{"type": "function", "function": {{ .Function }}}
{{- end }}
</tools>

For each function call, return a json object with function name and )"
                                              R"(arguments within <tool_call></tool_call> XML tags:
<tool_call>
{"name": <function-name>, "arguments": <args-json-object>}
</tool_call><|im_end|>
{{ end }}
{{- $before := "" }}
{{- range .Messages }}
{{- if and (eq $before "tool") (ne .Role "tool") }}<|im_end|>
{{ end }}
{{- if eq .Role "tool" }}
{{- if ne $before "tool" }}<|im_start|>user{{ end }}
<tool_response>
{{ .Content }}
</tool_response>
{{- else if eq .Role "assistant" }}<|im_start|>assistant
{{- if or .Content (not .ToolCalls) }}
{{ .Content }}
{{- end }}
{{- if .ToolCalls }}{{ range .ToolCalls }}
<tool_call>{{ "\n" }}{"name": "{{ .Function.Name }}", "arguments": {{ .Function.Arguments }}}
</tool_call>
{{- end }}{{ end }}<|im_end|>
{{ else if or (ne .Role "system") (not $.Tools) }}<|im_start|>{{ .Role }}
{{ .Content }}<|im_end|>
{{ end }}
{{- $before = .Role }}
{{- end }}
{{- if eq $before "tool" }}<|im_end|>
{{ end }}<|im_start|>assistant
)";

constexpr std::string_view kLlama3 =
    "{{- range .Messages }}<|start_header_id|>{{ .Role }}<|end_header_id|>\n\n"
    "{{ .Content }}<|eot_id|>{{ end }}<|start_header_id|>assistant<|end_header_id|>\n\n";

// The first question brings the tools. The day is left out, which no template of Ollama's knows.
constexpr std::string_view kLlama3WithTools =
    R"(
{{- if .Tools }}<|start_header_id|>system<|end_header_id|>

Environment: ipython
Cutting Knowledge Date: December 2023

{{ .System }}<|eot_id|>{{ end }}
{{- $asked := false }}
{{- range .Messages }}
{{- if eq .Role "tool" }}<|start_header_id|>ipython<|end_header_id|>

{{ .Content }}<|eot_id|>
{{- else if eq .Role "assistant" }}<|start_header_id|>assistant<|end_header_id|>

{{ if .ToolCalls }}{{ range .ToolCalls }})"
    R"({"name": "{{ .Function.Name }}", "parameters": {{ .Function.Arguments }}}{{ end }}
{{- else }}{{ .Content }}{{ end }}<|eot_id|>
{{- else if or (ne .Role "system") (not $.Tools) }}<|start_header_id|>{{ .Role }}<|end_header_id|>

{{ if and $.Tools (not $asked) }}{{ $asked = true }})"
    R"(Given the following functions, please respond with a JSON for a function call )"
    R"(with its proper arguments that best answers the given prompt.

Respond in the format {"name": function name, "parameters": )"
    R"(dictionary of argument name and its value}.Do not use variables.

{{ range $.Tools }}{{ . }}

{{ end }}{{ end }}{{ .Content }}<|eot_id|>
{{- end }}
{{- end }}<|start_header_id|>assistant<|end_header_id|>

)";

constexpr std::string_view kGemma =
    "{{- range .Messages }}<start_of_turn>{{ if eq .Role \"assistant\" }}model{{ else }}user{{ end "
    "}}\n"
    "{{ .Content }}<end_of_turn>\n"
    "{{ end }}<start_of_turn>model\n";

constexpr std::string_view kMistral =
    "{{- range .Messages }}{{ if eq .Role \"assistant\" }} {{ .Content }}</s>{{ else }}[INST] {{ "
    ".Content }} [/INST]{{ end }}{{ end }}";

const std::vector<OllamaTemplate>& templates() {
  static const std::vector<OllamaTemplate> all = {
      {.mark = "<|im_start|>",
       .plain = kChatMl,
       .stops = {"<|im_end|>"},
       .with_tools = kChatMlWithTools,
       .tool_pieces =
           {"<|im_start|>system\nS\n\n# Tools\n\nYou may call one or more functions to assist with "
            "the user query.\n\nYou are provided with function signatures within <tools></tools> "
            "XML tags:\n<tools>\n{\"type\": \"function\", \"function\": {",
            "\n</tools>\n\nFor each function call, return a json object with function name and "
            "arguments within <tool_call></tool_call> XML tags:\n<tool_call>\n{\"name\": "
            "<function-name>, \"arguments\": <args-json-object>}\n</tool_call><|im_end|>\n",
            "\n<tool_call>\n{\"name\": \"f\", \"arguments\": {\"a\": 1}}\n</tool_call><|im_end|>\n",
            "<|im_start|>user\n<tool_response>\nR\n</tool_response><|im_end|>\n"}},
      {.mark = "<|start_header_id|>",
       .plain = kLlama3,
       .stops = {"<|eot_id|>"},
       .with_tools = kLlama3WithTools,
       .tool_pieces =
           {"Environment: ipython\nCutting Knowledge Date: December 2023\n",
            "<|start_header_id|>user<|end_header_id|>\n\nGiven the following functions, please "
            "respond with a JSON for a function call with its proper arguments that best answers "
            "the given prompt.\n\nRespond in the format {\"name\": function name, \"parameters\": "
            "dictionary of argument name and its value}.Do not use variables.\n\n",
            "<|start_header_id|>assistant<|end_header_id|>\n\n{\"name\": \"f\", \"parameters\": "
            "{\"a\": 1}}<|eot_id|>",
            "<|start_header_id|>ipython<|end_header_id|>\n\n"}},
      {.mark = "<start_of_turn>", .plain = kGemma, .stops = {"<end_of_turn>"}},
      {.mark = "[INST]", .plain = kMistral, .stops = {"[INST]", "[/INST]"}}};
  return all;
}

}  // namespace

const OllamaTemplate* find_ollama_template(std::string_view jinja) {
  for (const OllamaTemplate& each : templates())
    if (jinja.find(each.mark) != std::string_view::npos) return &each;
  return nullptr;
}

}  // namespace halftone
