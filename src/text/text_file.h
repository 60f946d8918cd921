// Text files for calibration and evaluation, read document by document: what is held at once is one
// document of a JSON file, a block of a plain text.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "base/json.h"

namespace halftone {

// The text of a chat record (see chat_record.h), or nothing where it has no turns; with what errors
// name: "chats.jsonl: line 3".
using ChatText =
    std::function<std::optional<std::string>(const Json& record, const std::string& origin)>;

// JSON lines (.jsonl, and .json that does not begin with '['): one object with a string "text", or
// a chat record, a line; .json that begins with '[': a list of such objects. By any other name, and
// from a pipe: JSON lines when the first line is such a record, else one document. Of a record that
// is both, "text" is taken. Chats without turns are no documents.
struct TextFile {
  std::string path;
  std::string sha256;  // of the bytes
  int64_t bytes = 0;
  int64_t documents = 0;
  int64_t chats = 0;  // 0, or all documents
  ChatText chat_text;
  std::optional<std::string> held;  // all bytes, of what can be read only once (a pipe)
};

// Reads the file through; says how many chats have no turns. Throws Error(bad_input): missing,
// empty, binary (NUL bytes), not UTF-8 (offset named), a line or an item that is not an object with
// "text" (named by its number), a chat where there is no `chat_text` or texts are, chats none of
// which has a turn.
TextFile read_text_file(const std::string& path, ChatText chat_text = {});

// Called with the text of each document in order, in parts of whole characters; `first`: this part
// begins a document. False: no more is wanted.
using DocumentVisitor = std::function<bool(std::string_view part, bool first)>;
// Reads the file again, with the same checks.
void visit_documents(const TextFile& file, const DocumentVisitor& visit);

}  // namespace halftone
