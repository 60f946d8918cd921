#include "text/chat_template.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>

#include "base/error.h"
#include "io/find_model.h"
#include "io/gguf.h"
#include "text/chat_record.h"
#include "text/tokenizer.h"

// Templates of our own with the turns that real ones take; what is expected was computed with
// Transformers' apply_chat_template.
namespace halftone {
namespace {

using ::testing::HasSubstr;

Metadata metadata_of(std::string chat_template) {
  Metadata metadata;
  metadata.origin = "model/config.json";
  metadata.chat_template = std::move(chat_template);
  metadata.tokenizer.tokenizer_config_json =
      R"({"bos_token": {"content": "<s>"}, "eos_token": "</s>", "pad_token": null})";
  metadata.tokenizer.special_tokens_map_json = R"({"bos_token": "<other>", "unk_token": "<unk>"})";
  return metadata;
}

std::string rendered(const std::string& source, const Json& messages,
                     const ChatRendering& rendering = {}) {
  return ChatTemplate::load(metadata_of(source))->render(messages, rendering);
}

std::string error_of(const Json& record, const std::string& source = "{{ messages }}") {
  const Metadata metadata = metadata_of(source);
  try {
    return "no error, but " + ChatReader(metadata)(record, "chats.jsonl: line 3").value_or("none");
  } catch (const Error& error) {
    EXPECT_EQ(error.exit(), Exit::bad_input);
    return error.what();
  }
}

const Json kMessages = {{{"role", "user"}, {"content", "Hi <b>"}},
                        {{"role", "assistant"}, {"content", " Hello\n"}}};

// A default system prompt, an alternation check, BOS, EOS and the generation prompt.
constexpr const char* kStrict = R"({{- bos_token }}
{%- if messages[0].role == 'system' %}
    {%- set system = messages[0]['content'] %}
    {%- set messages = messages[1:] %}
{%- else %}
    {%- set system = none %}
{%- endif %}
{%- for message in messages %}
    {%- if (message.role == 'user') != (loop.index0 % 2 == 0) %}
        {{- raise_exception('Roles must alternate') }}
    {%- endif %}
    {%- if message.role == 'user' %}
        {{- '[INST] ' + (system + '\n\n' if loop.first and system is not none else '') + message.content + ' [/INST]' }}
    {%- else %}
        {{- ' ' + message.content | trim + eos_token }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}{{ '>' }}{% endif %}
)";

TEST(ChatTemplate, WorkedExample) {
  EXPECT_EQ(rendered(kStrict, kMessages), "<s>[INST] Hi <b> [/INST] Hello</s>");
  EXPECT_EQ(rendered(kStrict, kMessages, {.add_generation_prompt = true}),
            "<s>[INST] Hi <b> [/INST] Hello</s>>");
  Json with_system = kMessages;
  with_system.insert(with_system.begin(), Json({{"role", "system"}, {"content", "Be kind."}}));
  EXPECT_EQ(rendered(kStrict, with_system), "<s>[INST] Be kind.\n\nHi <b> [/INST] Hello</s>");
}

TEST(ChatTemplate, Tools) {
  constexpr const char* kTools = R"({%- if tools %}
    {{- '<tools>' }}
    {%- for tool in tools %}
        {{- "\n" }}
        {{- tool | tojson }}
    {%- endfor %}
    {{- '\n</tools>' }}
{%- endif %}
{%- for message in messages %}
    {%- if message.tool_calls %}
        {%- for call in message.tool_calls %}
            {%- if call.function is defined %}{%- set call = call.function %}{%- endif %}
            {{- '\n<call>{"name": "' ~ call.name ~ '", "arguments": ' ~ call.arguments | tojson ~ '}' }}
        {%- endfor %}
    {%- else %}
        {{- '\n' + message.role + ':' + message.content }}
    {%- endif %}
{%- endfor %})";
  const Json tools = Json::array({{{"name", "weather"}, {"city", "Köln"}}});
  const Json record = {
      {"tools", tools.dump()},
      {"messages",
       {{{"role", "user"}, {"content", "Rain?"}},
        {{"role", "assistant"},
         {"content", nullptr},
         {"tool_calls",
          Json::array({{{"function", {{"name", "weather"}, {"arguments", {{"t", 2.0}}}}}}})}}}}};
  const Metadata metadata = metadata_of(kTools);
  EXPECT_EQ(ChatReader(metadata)(record, "x"),
            "<tools>\n{\"name\": \"weather\", \"city\": \"Köln\"}\n</tools>\nuser:Rain?\n"
            "<call>{\"name\": \"weather\", \"arguments\": {\"t\": 2.0}}");
}

TEST(ChatTemplate, KnowsTheTokenizersSpecialTokens) {
  EXPECT_EQ(rendered("{{ bos_token }}{{ eos_token }}{{ unk_token }}{{ pad_token is defined }}"
                     "{{ tools is none }}{{ add_generation_prompt }}",
                     kMessages),
            "<s></s><unk>FalseTrueFalse");
  Metadata metadata;
  metadata.chat_template = "{{ bos_token }}|{{ eos_token }}";
  metadata.tokenizer.gguf = GgufTokenizer{.tokens = {"a", "<bos>"}, .bos = 1, .eos = 7};
  EXPECT_EQ(ChatTemplate::load(metadata)->render(kMessages, {}), "<bos>|");
}

TEST(ChatTemplate, FindsTheDefaultSystemPrompt) {
  const auto found = [](const std::string& source) {
    return ChatTemplate::load(metadata_of(source))->default_system_prompt();
  };
  constexpr const char* kChatMl = R"({%- for message in messages %}
    {%- if loop.first and message.role != 'system' %}
        {{- '<|im_start|>system\nYou are ' + DEFAULT + '<|im_end|>\n' }}
    {%- endif %}
    {{- '<|im_start|>' + message.role + '\n' + message.content + '<|im_end|>\n' }}
{%- endfor %})";
  const auto chat_ml = [&](const std::string& prompt) {
    std::string source = kChatMl;
    return source.replace(source.find("DEFAULT"), 7, prompt);
  };
  EXPECT_EQ(found(chat_ml("'<b> \"kind\".\nAlways.'")), "You are <b> \"kind\".\nAlways.");
  for (const char* told : {"in %Y.", "%A", "%d", "%B", "%H", "%M", "%S", "%j", "%p", "%A, %B %d"})
    EXPECT_EQ(found(chat_ml("strftime_now('" + std::string(told) + "')")), std::nullopt) << told;
  // Without one, though with a place for one: of its own, and in the user's turn.
  EXPECT_EQ(found("{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}"),
            std::nullopt);
  EXPECT_EQ(found(kStrict), std::nullopt);
  EXPECT_EQ(found("{% if messages[0].role == 'system' %}{{ raise_exception('no') }}{% endif %}Hi"),
            std::nullopt);
  // What it writes without a system message has another frame than a message would get.
  EXPECT_EQ(found("{% if messages[0].role == 'system' %}<s>{{ messages[0].content }}</s>"
                  "{% else %}<default>You are.</default>{% endif %}Hi"),
            std::nullopt);
}

// The templates of real models, where they have been fetched. Gemma-3-270M has none.
TEST(ChatTemplate, WhatIsFetchedHere) {
  const Json tools = Json::array({{{"name", "rain"}, {"parameters", {{"city", "Köln"}}}}});
  const std::string chat =
      "<|im_end|>\n<|im_start|>user\nHi <b><|im_end|>\n"
      "<|im_start|>assistant\n Hello\n<|im_end|>\n";
  int models = 0;
  std::error_code none;
  for (const auto& model : std::filesystem::directory_iterator(fetch_cache() + "/models", none)) {
    const std::string name = model.path().filename().string();
    const bool qwen = name.starts_with("qwen2.5-coder");
    if (!qwen && !name.starts_with("SmolLM2")) continue;
    if (model.path().extension() != ".gguf") continue;
    const Metadata metadata = gguf_metadata(GgufFile(model.path().string()));
    const std::optional<ChatTemplate> own = ChatTemplate::load(metadata);
    ASSERT_TRUE(own.has_value()) << name;
    EXPECT_EQ(own->default_system_prompt(),
              qwen ? "You are Qwen, created by Alibaba Cloud. You are a helpful assistant."
                   : "You are a helpful AI assistant named SmolLM, trained by Hugging Face");
    const std::string text = own->render(kMessages, {});
    EXPECT_EQ(text, (qwen ? "<|im_start|>system\nYou are Qwen, created by Alibaba Cloud. You are a "
                            "helpful assistant."
                          : "<|im_start|>system\nYou are a helpful AI assistant named SmolLM, "
                            "trained by Hugging Face") +
                        chat);
    const Tokenizer tokenizer = Tokenizer::load(metadata);
    const std::vector<int32_t> ids = tokenizer.encode(text, /*add_special=*/false);
    EXPECT_EQ(std::count(ids.begin(), ids.end(), *tokenizer.id_of("<|im_start|>")), 3);
    if (qwen) {
      EXPECT_THAT(own->render(kMessages, {.tools = &tools}),
                  HasSubstr("<tools>\n{\"name\": \"rain\", \"parameters\": {\"city\": \"Köln\"}}\n"
                            "</tools>\n\nFor each function call, return a json object"));
    }
    ++models;
  }
  if (models == 0) GTEST_SKIP() << "no model in " << fetch_cache() << ": make fetch";
}

TEST(ChatRecord, ReadsThreeShapes) {
  EXPECT_EQ(chat_of({{"messages", kMessages}}, "x").messages, kMessages);
  const Json shared = {
      {"conversations",
       {{{"from", "human"}, {"value", "Hi <b>"}}, {{"from", "gpt"}, {"value", " Hello\n"}}}}};
  EXPECT_EQ(chat_of(shared, "x").messages, kMessages);
  const Json alpaca = {{"instruction", "Add."},
                       {"input", "1 + 2"},
                       {"output", "3"},
                       {"system", "Be."},
                       {"history", Json::array({Json::array({"a", "b"})})}};
  EXPECT_EQ(chat_of(alpaca, "x").messages,
            Json::array({{{"role", "system"}, {"content", "Be."}},
                         {{"role", "user"}, {"content", "a"}},
                         {{"role", "assistant"}, {"content", "b"}},
                         {{"role", "user"}, {"content", "Add.\n1 + 2"}},
                         {{"role", "assistant"}, {"content", "3"}}}));
  const Json parts = {
      {"messages", Json::array({{{"role", "user"},
                                 {"content", Json::array({{{"type", "text"}, {"text", "a"}},
                                                          {{"type", "text"}, {"text", "b"}}})}}})}};
  EXPECT_EQ(chat_of(parts, "x").messages[0]["content"], "a\nb");
}

TEST(ChatRecord, NamesWhatIsWrong) {
  EXPECT_THAT(error_of({{"messages", "a"}}), HasSubstr("line 3: messages: got \"a\""));
  EXPECT_THAT(error_of({{"messages", Json::array({{{"role", "user"}}})}}),
              HasSubstr("line 3: message 1: no \"content\""));
  EXPECT_THAT(error_of({{"messages", Json::array({{{"content", "a"}}})}}),
              HasSubstr("no \"role\""));
  EXPECT_THAT(error_of({{"messages", Json::array({{{"role", "user"}, {"content", 3}}})}}),
              HasSubstr("content: got 3, expected a string"));
  EXPECT_THAT(
      error_of({{"messages",
                 Json::array({{{"role", "user"},
                               {"content", Json::array({{{"type", "image"}, {"url", "x"}}})}}})}}),
      HasSubstr("\"image\""));
  EXPECT_THAT(error_of({{"conversations", Json::array({{{"from", "cat"}, {"value", "x"}}})}}),
              HasSubstr("from: got \"cat\""));
  EXPECT_THAT(error_of({{"instruction", "a"}}), HasSubstr("no \"output\""));
  EXPECT_THAT(error_of({{"instruction", ""}, {"output", "b"}}), HasSubstr("no instruction"));
}

TEST(ChatRecord, ChatsWithoutTurnsHaveNoText) {
  const Json system = {{"role", "system"}, {"content", "Be."}};
  const Json user = {{"role", "user"}, {"content", "Hi"}};
  const Metadata metadata = metadata_of("{{ messages[-1].content }}");
  const auto text = [&](const Json& record) { return ChatReader(metadata)(record, "x"); };
  for (const Json& record :
       {Json{{"messages", Json::array()}}, Json{{"messages", Json::array({system})}},
        Json{{"conversations", Json::array()}},
        Json{{"messages", Json::array()}, {"system", "Be."}},
        Json{{"instruction", ""}, {"input", ""}, {"output", ""}}})
    EXPECT_EQ(text(record), std::nullopt) << record;
  EXPECT_EQ(text({{"messages", Json::array({system, user})}}), "Hi");
}

TEST(ChatRecord, SaysWhoRefusesAndWhere) {
  const Json two_users = {
      {"messages", {{{"role", "user"}, {"content", "a"}}, {{"role", "user"}, {"content", "b"}}}}};
  EXPECT_THAT(
      error_of(two_users, kStrict),
      HasSubstr("chats.jsonl: line 3: chat template: line 10: refuses: Roles must alternate"));
  EXPECT_THAT(error_of(two_users, "\n{{ x|nosuch }}"),
              HasSubstr("chat template: line 2: the filter \"nosuch\" is not known"));
  EXPECT_THAT(error_of(two_users, ""), HasSubstr("the model has no chat template"));
}

}  // namespace
}  // namespace halftone
