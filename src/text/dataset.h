// Texts for calibration and evaluation: files to documents to windows of token ids.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "text/tokenizer.h"

namespace halftone {

// The text of one file. JSON lines (.jsonl, and .json that does not begin with '['): one object
// with a string "text" a line; .json that begins with '[': a list of such objects; anything else is
// one document. Throws Error(bad_input): missing, empty, binary (NUL bytes), not UTF-8 (offset
// named), a line or an item that is not an object with "text" (named by its number).
struct TextFile {
  std::string path;
  std::string sha256;  // of the bytes
  std::vector<std::string> documents;
};
TextFile read_text_file(const std::string& path);

// Windows of exactly `length` ids by design §8's hf rule. A plain text is tokenized whole, without
// special tokens; the documents of one file are joined by an empty line ("\n\n") before that, and
// nothing else is put between them. The ids of all files, one after the other, are cut into windows
// that do not overlap; each window's first token is replaced by BOS where the tokenizer adds one;
// the partial tail is dropped.
struct Windows {
  int64_t length = 0;
  std::vector<int32_t> ids;    // count()·length
  int64_t tokens_in_text = 0;  // the dropped tail included
  int64_t count() const { return length == 0 ? 0 : static_cast<int64_t>(ids.size()) / length; }
  const int32_t* window(int64_t i) const { return ids.data() + i * length; }
};
Windows cut_windows(const Tokenizer& tokenizer, const std::vector<TextFile>& files, int64_t length);

// Windows picked by a seeded shuffle of all (Fisher and Yates; the order is part of the result):
// the places [first, first + count) of the shuffled list, so that two ranges never share a window.
Windows pick_windows(const Windows& all, int64_t first, int64_t count, uint64_t seed);

// The share of `evaluation` that stands in `calibration` too, in [0, 1]: of runs of 64 bytes, white
// space taken as one space, about every sixteenth being looked at. 0 for texts too short to tell.
double overlap(const std::vector<TextFile>& calibration, const std::vector<TextFile>& evaluation);

}  // namespace halftone
