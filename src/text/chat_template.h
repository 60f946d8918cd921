// A model's chat template: messages to the text that the model was trained on.
#pragma once

#include <ctime>
#include <optional>
#include <string>

#include "io/metadata.h"
#include "text/jinja.h"

namespace halftone {

struct ChatRendering {
  const Json* tools = nullptr;  // a list of tools, as the template wants them; null: none
  bool add_generation_prompt = false;
  std::tm now = {};  // what the template's strftime_now tells
};

class ChatTemplate {
 public:
  // Of chat_template.jinja, tokenizer_config.json or GGUF's tokenizer.chat_template (metadata knows
  // which); nothing where the model has none. Throws Error(bad_input) for one that is not
  // understood, with its line.
  static std::optional<ChatTemplate> load(const Metadata& metadata);

  // `messages`: a list of objects with "role" and "content" and whatever else the template looks
  // at. As apply_chat_template(messages, tokenize=False): the special tokens are in the text, BOS
  // too where the template writes it, so that it is to be tokenized without adding any. Throws
  // Error(bad_input) when the template does not take the messages.
  std::string render(const Json& messages, const ChatRendering& rendering) const;

  // The system message that the template writes when a chat has none: given as one, it renders the
  // same. Nothing where there is none, or it tells the date.
  std::optional<std::string> default_system_prompt() const;

 private:
  ChatTemplate(jinja::Template compiled, Json special_tokens)
      : template_(std::move(compiled)), special_tokens_(std::move(special_tokens)) {}
  jinja::Template template_;
  Json special_tokens_;  // bos_token, eos_token, …: those that the tokenizer has
};

}  // namespace halftone
