// What a Modelfile says of tools: the usual forms as the models' own templates have them.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "apps/gguf_contents.h"

namespace halftone {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

std::string modelfile_of(const std::string& chat_template) {
  Metadata metadata;
  metadata.chat_template = chat_template;
  return ollama_modelfile(metadata, "a.gguf");
}

// Qwen 2.5's and 3's form, in few words; `call` is what a call looks like.
std::string chat_ml(const std::string& call) {
  return R"({%- if tools %}{{- '<|im_start|>system\n' + messages[0].content + '\n\n' -}}
{{- '# Tools\n\nYou may call one or more functions to assist with the user query.\n\n' -}}
{{- 'You are provided with function signatures within <tools></tools> XML tags:\n<tools>' -}}
{%- for tool in tools %}{{- '\n' + tool | tojson -}}{%- endfor -%}
{{- '\n</tools>\n\nFor each function call, return a json object with function name and ' -}}
{{- 'arguments within <tool_call></tool_call> XML tags:\n<tool_call>\n{"name": <function-name>, ' -}}
{{- '"arguments": <args-json-object>}\n</tool_call><|im_end|>\n' -}}{%- endif -%}
{%- for m in messages -%}
{%- if m.tool_calls -%}{{- '<|im_start|>assistant' -}}
{%- for c in m.tool_calls -%}{{- )" +
         call + R"( -}}{%- endfor -%}{{- '<|im_end|>\n' -}}
{%- elif m.role == 'tool' -%}
{{- '<|im_start|>user\n<tool_response>\n' + m.content + '\n</tool_response><|im_end|>\n' -}}
{%- elif m.role != 'system' or not tools -%}
{{- '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>\n' -}}
{%- endif -%}{%- endfor -%})";
}

TEST(OllamaModelfile, ToolsOfAKnownFormAreInTheTemplate) {
  const std::string text = modelfile_of(
      chat_ml(R"('\n<tool_call>\n{"name": "' + c.function.name + '", "arguments": ' + )"
              R"(c.function.arguments | tojson + '}\n</tool_call>')"));
  EXPECT_THAT(text, HasSubstr("TEMPLATE \"\"\"\n{{- if .Tools }}<|im_start|>system\n"));
  EXPECT_THAT(text, HasSubstr("{{- if .ToolCalls }}{{ range .ToolCalls }}\n<tool_call>{{"));
  EXPECT_THAT(text, HasSubstr("PARAMETER stop \"<|im_end|>\""));
  EXPECT_THAT(text, Not(HasSubstr("Without tools")));
}

// Qwen3-Coder's calls: the same tags, another form between them.
TEST(OllamaModelfile, ToolsOfAnotherFormAreLeftOut) {
  const std::string text = modelfile_of(
      chat_ml(R"('\n<tool_call>\n<function=' + c.function.name + '>\n</function>\n</tool_call>')"));
  EXPECT_THAT(text, HasSubstr("# Without tools"));
  EXPECT_THAT(text, HasSubstr("TEMPLATE \"\"\"{{- range .Messages }}<|im_start|>"));
  EXPECT_THAT(text, Not(HasSubstr(".Tools")));
}

TEST(OllamaModelfile, ATemplateThatKnowsNoToolsHasNone) {
  const std::string text = modelfile_of(
      "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}");
  EXPECT_THAT(text, HasSubstr("TEMPLATE \"\"\"{{- range .Messages }}<|im_start|>"));
  EXPECT_THAT(text, Not(HasSubstr("Without tools")));
}

TEST(OllamaModelfile, Llama31BringsToolsWithTheFirstQuestion) {
  const std::string text = modelfile_of(R"(
{{- '<|start_header_id|>system<|end_header_id|>\n\n' -}}
{%- if tools -%}{{- 'Environment: ipython\n' -}}{%- endif -%}
{{- 'Cutting Knowledge Date: December 2023\n\nS<|eot_id|>' -}}
{%- for m in messages[1:] -%}
{%- if m.tool_calls -%}
{{- '<|start_header_id|>assistant<|end_header_id|>\n\n{"name": "' + m.tool_calls[0].function.name -}}
{{- '", "parameters": ' + m.tool_calls[0].function.arguments | tojson + '}<|eot_id|>' -}}
{%- elif m.role == 'tool' -%}
{{- '<|start_header_id|>ipython<|end_header_id|>\n\n' + m.content + '<|eot_id|>' -}}
{%- else -%}
{{- '<|start_header_id|>' + m.role + '<|end_header_id|>\n\n' -}}
{%- if tools and loop.first -%}
{{- 'Given the following functions, please respond with a JSON for a function call with its ' -}}
{{- 'proper arguments that best answers the given prompt.\n\nRespond in the format {"name": ' -}}
{{- 'function name, "parameters": dictionary of argument name and its value}.' -}}
{{- 'Do not use variables.\n\n' + tools | tojson + '\n\n' -}}
{%- endif -%}{{- m.content + '<|eot_id|>' -}}
{%- endif -%}{%- endfor -%})");
  EXPECT_THAT(text, HasSubstr("{{ range $.Tools }}{{ . }}\n\n{{ end }}"));
  EXPECT_THAT(text, HasSubstr("PARAMETER stop \"<|eot_id|>\""));
}

}  // namespace
}  // namespace halftone
