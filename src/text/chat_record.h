// Conversations of a data set as messages: what the records of chat and instruction sets hold, in
// the three shapes that they have in the field.
#pragma once

#include <optional>
#include <string>

#include "base/json.h"
#include "text/chat_template.h"

namespace halftone {

// {"messages": [{"role", "content"}, …]} (OpenAI), {"conversations": [{"from", "value"}, …]}
// (ShareGPT) or {"instruction", "input", "output", "system", "history"} (Alpaca).
bool is_chat_record(const Json& record);

struct Chat {
  Json messages;         // a list of {"role", "content", …}
  Json tools = nullptr;  // a list, or null
  // Whether anybody says anything beside a system message.
  bool has_turns() const;
};
// `origin` is what errors name: "chats.jsonl: line 3". Text parts of a message's content are joined
// by newlines, as vLLM does. A list may be empty. Throws Error(bad_input) for a message without
// role or content, or with content that is no text.
Chat chat_of(const Json& record, const std::string& origin);

// Chat records to texts, in the model's own template, which is looked at when the first chat comes.
// Dates that a template writes are the same in every run. Nothing for a chat without turns, which
// templates refuse. Throws Error(bad_input) when the model has no template, or one that is not
// understood or does not take the chat.
class ChatReader {
 public:
  explicit ChatReader(const Metadata& metadata) : metadata_(&metadata) {}
  std::optional<std::string> operator()(const Json& record, const std::string& origin);

 private:
  const Metadata* metadata_;
  std::optional<ChatTemplate> template_;
};

}  // namespace halftone
