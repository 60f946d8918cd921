// Text files for calibration and evaluation, read document by document: what is held at once is one
// document of a JSON file, a block of a plain text.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

namespace halftone {

// JSON lines (.jsonl, and .json that does not begin with '['): one object with a string "text" a
// line; .json that begins with '[': a list of such objects; anything else is one document.
struct TextFile {
  std::string path;
  std::string sha256;  // of the bytes
  int64_t bytes = 0;
  int64_t documents = 0;
  std::optional<std::string> held;  // all bytes, of what can be read only once (a pipe)
};

// Reads the file through. Throws Error(bad_input): missing, empty, binary (NUL bytes), not UTF-8
// (offset named), a line or an item that is not an object with "text" (named by its number).
TextFile read_text_file(const std::string& path);

// Called with the text of each document in order, in parts of whole characters; `first`: this part
// begins a document. False: no more is wanted.
using DocumentVisitor = std::function<bool(std::string_view part, bool first)>;
// Reads the file again, with the same checks.
void visit_documents(const TextFile& file, const DocumentVisitor& visit);

}  // namespace halftone
