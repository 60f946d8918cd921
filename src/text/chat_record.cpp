// See chat_record.h.
#include "text/chat_record.h"

#include <algorithm>
#include <utility>

#include "base/error.h"

namespace halftone {
namespace {

std::string shown(const Json& json) {
  std::string text = json.dump(-1, ' ', false, Json::error_handler_t::replace);
  if (text.size() <= 60) return text;
  size_t end = 60;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xc0) == 0x80) --end;
  return text.substr(0, end) + "…";
}

const Json* find(const Json& object, const char* key) {
  const auto found = object.find(key);
  return found == object.end() || found->is_null() ? nullptr : &*found;
}

const Json& list_at(const Json& record, const char* key, const std::string& origin) {
  const Json& list = record.at(key);
  if (!list.is_array())
    throw bad_input("{}: {}: got {}, expected a list of messages", origin, key, shown(list));
  return list;
}

// "text", or [{"type": "text", "text": "text"}, …].
std::string content_text(const Json& content, const std::string& origin) {
  if (content.is_string()) return content.get<std::string>();
  std::string text;
  if (content.is_array() && !content.empty()) {
    bool follows = false;
    for (const Json& part : content) {
      const Json* words = part.is_object() ? find(part, "text") : nullptr;
      const Json* type = part.is_object() ? find(part, "type") : nullptr;
      if (!words || !words->is_string() || (type && *type != "text"))
        throw bad_input("{}: content: got {}, expected {{\"type\": \"text\", \"text\": …}}", origin,
                        shown(part))
            .hint("images and sound are not calibrated on: leave such chats out.");
      if (std::exchange(follows, true)) text += '\n';
      text += words->get<std::string>();
    }
    return text;
  }
  throw bad_input("{}: content: got {}, expected a string", origin, shown(content));
}

Json message_of(const Json& message, const std::string& origin) {
  if (!message.is_object())
    throw bad_input("{}: got {}, expected {{\"role\": …, \"content\": …}}", origin, shown(message));
  const Json* role = find(message, "role");
  if (!role || !role->is_string()) throw bad_input("{}: no \"role\" in {}", origin, shown(message));
  Json made = message;
  const Json* content = find(message, "content");
  if (content)
    made["content"] = content_text(*content, origin);
  else if (!find(message, "tool_calls"))
    throw bad_input("{}: no \"content\" in {}", origin, shown(message));
  return made;
}

// ShareGPT's names of who speaks.
std::string role_of(const std::string& from, const std::string& origin) {
  constexpr std::pair<const char*, const char*> kRoles[] = {
      {"human", "user"},          {"user", "user"},       {"gpt", "assistant"},
      {"assistant", "assistant"}, {"model", "assistant"}, {"system", "system"},
      {"observation", "tool"},    {"tool", "tool"}};
  for (const auto& [name, role] : kRoles)
    if (from == name) return role;
  throw bad_input("{}: from: got \"{}\", expected human, gpt, system or tool", origin, from);
}

Json shared_message_of(const Json& message, const std::string& origin) {
  if (message.is_object() && message.contains("role")) return message_of(message, origin);
  const Json* from = message.is_object() ? find(message, "from") : nullptr;
  const Json* value = message.is_object() ? find(message, "value") : nullptr;
  if (!from || !from->is_string() || !value || !value->is_string())
    throw bad_input("{}: got {}, expected {{\"from\": …, \"value\": …}}", origin, shown(message));
  return {{"role", role_of(from->get<std::string>(), origin)}, {"content", *value}};
}

std::string text_at(const Json& record, const char* key, const std::string& origin) {
  const Json* text = find(record, key);
  if (!text) return "";
  if (!text->is_string())
    throw bad_input("{}: {}: got {}, expected a string", origin, key, shown(*text));
  return text->get<std::string>();
}

Json message(const char* role, std::string content) {
  return {{"role", role}, {"content", std::move(content)}};
}

Json instruction_messages(const Json& record, const std::string& origin) {
  Json messages = Json::array();
  if (const Json* history = find(record, "history")) {
    for (const Json& turn : *history) {
      if (!turn.is_array() || turn.size() != 2 || !turn[0].is_string() || !turn[1].is_string())
        throw bad_input("{}: history: got {}, expected [question, answer]", origin, shown(turn));
      messages.push_back(message("user", turn[0].get<std::string>()));
      messages.push_back(message("assistant", turn[1].get<std::string>()));
    }
  }
  std::string question = text_at(record, "instruction", origin);
  const std::string input = text_at(record, "input", origin);
  if (!input.empty()) question += (question.empty() ? "" : "\n") + input;
  std::string answer = text_at(record, "output", origin);
  if (question.empty() && answer.empty()) return messages;
  if (question.empty()) throw bad_input("{}: no instruction in {}", origin, shown(record));
  if (!find(record, "output")) throw bad_input("{}: no \"output\" in {}", origin, shown(record));
  messages.push_back(message("user", std::move(question)));
  messages.push_back(message("assistant", std::move(answer)));
  return messages;
}

// A list, or a string that holds one.
Json tools_of(const Json& record, const std::string& origin) {
  const Json* tools = find(record, "tools");
  if (!tools || (tools->is_string() && tools->get_ref<const std::string&>().empty()))
    return nullptr;
  Json list =
      tools->is_string() ? parse_json(tools->get<std::string>(), origin + ": tools") : *tools;
  if (!list.is_array()) throw bad_input("{}: tools: got {}, expected a list", origin, shown(list));
  return list.empty() ? Json(nullptr) : list;
}

}  // namespace

bool is_chat_record(const Json& record) {
  return record.is_object() && (record.contains("messages") || record.contains("conversations") ||
                                record.contains("instruction"));
}

Chat chat_of(const Json& record, const std::string& origin) {
  Chat chat{.messages = Json::array(), .tools = tools_of(record, origin)};
  if (record.contains("messages") || record.contains("conversations")) {
    const bool shared = !record.contains("messages");
    for (const Json& each : list_at(record, shared ? "conversations" : "messages", origin)) {
      const std::string place = fmt::format("{}: message {}", origin, chat.messages.size() + 1);
      chat.messages.push_back(shared ? shared_message_of(each, place) : message_of(each, place));
    }
  } else {
    chat.messages = instruction_messages(record, origin);
  }
  const std::string system = text_at(record, "system", origin);
  if (!system.empty() && (chat.messages.empty() || chat.messages[0]["role"] != "system"))
    chat.messages.insert(chat.messages.begin(), message("system", system));
  return chat;
}

bool Chat::has_turns() const {
  return std::ranges::any_of(messages, [](const Json& each) { return each["role"] != "system"; });
}

std::optional<std::string> ChatReader::operator()(const Json& record, const std::string& origin) {
  if (!template_) template_ = ChatTemplate::load(*metadata_);
  if (!template_)
    throw bad_input("{}: a chat, but the model has no chat template ({})", origin,
                    metadata_->origin)
        .hint(metadata_->tokenizer.gguf
                  ? "write each chat as one \"text\", in the form that the model was trained on."
                  : "put its chat_template.jinja beside that, or write each chat as one \"text\".");
  const Chat chat = chat_of(record, origin);
  if (!chat.has_turns()) return std::nullopt;
  // Friday 26 July 2024, noon: the date that Llama 3.1's template falls back to. Today's would make
  // tomorrow's run differ.
  const std::tm now = {.tm_hour = 12,
                       .tm_mday = 26,
                       .tm_mon = 6,
                       .tm_year = 124,
                       .tm_wday = 5,
                       .tm_yday = 207,
                       .tm_isdst = 0};
  try {
    return template_->render(chat.messages,
                             {.tools = chat.tools.is_null() ? nullptr : &chat.tools, .now = now});
  } catch (const Error& error) {
    throw bad_input("{}: {}", origin, error.what())
        .hint("the model's own template does not take this chat: change it or leave it out.");
  }
}

}  // namespace halftone
