// Texts for calibration and evaluation: files to documents to windows of token ids.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "text/tokenizer.h"

namespace halftone {

// The text of one file: .jsonl (and .json lines) with a "text" field each → documents; anything else is
// one document. Throws Error(bad_input): missing, empty, binary (NUL bytes), not UTF-8 (offset named), a line
// that is not an object with "text" (line named).
struct TextFile {
  std::string path;
  std::string sha256;                 // of the bytes
  std::vector<std::string> documents;
};
TextFile read_text_file(const std::string& path);

// Windows of exactly `length` ids by design §8's hf rule: each document's ids without special tokens,
// documents joined (separated by EOS/BOS where the tokenizer has one), cut into windows that do not overlap, each
// window's first token replaced by BOS where the tokenizer adds one, the partial tail dropped.
struct Windows {
  int64_t length = 0;
  std::vector<int32_t> ids;           // count()·length
  int64_t tokens_in_text = 0;
  int64_t count() const { return length == 0 ? 0 : static_cast<int64_t>(ids.size()) / length; }
  const int32_t* window(int64_t i) const { return ids.data() + i * length; }
};
Windows cut_windows(const Tokenizer& tokenizer, const std::vector<TextFile>& files, int64_t length);

// Windows picked by a seeded shuffle (the order is part of the result): `count` of them, the
// rest of the shuffled list after them.
Windows pick_windows(const Windows& all, int64_t first, int64_t count, uint64_t seed);

}  // namespace halftone
