// Texts for calibration and evaluation: files to documents to windows of token ids.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "text/text_file.h"
#include "text/tokenizer.h"

namespace halftone {

// Sequences of ids, one after the other: windows of exactly `length`, or uneven ones.
struct Windows {
  int64_t length = 0;  // of each; of uneven ones, the longest allowed
  std::vector<int32_t> ids;
  int64_t tokens_in_text = 0;        // the dropped tail included
  std::vector<int64_t> starts = {};  // of uneven ones: where each begins in ids, and the last ends

  bool uneven() const { return !starts.empty(); }
  int64_t count() const {
    if (uneven()) return static_cast<int64_t>(starts.size()) - 1;
    return length == 0 ? 0 : tokens() / length;
  }
  int64_t tokens() const { return static_cast<int64_t>(ids.size()); }
  int64_t start(int64_t i) const { return uneven() ? starts[static_cast<size_t>(i)] : i * length; }
  int64_t length_of(int64_t i) const { return uneven() ? start(i + 1) - start(i) : length; }
  const int32_t* window(int64_t i) const { return ids.data() + start(i); }
  std::span<const int32_t> sequence(int64_t i) const {
    return {window(i), static_cast<size_t>(length_of(i))};
  }
  // One more uneven sequence.
  void append(std::span<const int32_t> sequence);
  // Even windows: drops the partial tail of `ids`, which are all the tokens, and whatever is beyond
  // `most` windows (> 0); sets the first token of each window.
  void cut(std::optional<int32_t> bos, int64_t most);
};

// Windows of exactly `length` ids by design §8's hf rule. A plain text is tokenized whole, without
// special tokens; the documents of one file are joined by an empty line ("\n\n") before that, and
// nothing else is put between them; chats are tokenized one by one. The ids of all files, one after
// the other, are cut into windows that do not overlap; each window's first token is replaced by BOS
// where the tokenizer adds one; the partial tail is dropped. Of the texts only their ids are held.
// `most` > 0: the first so many windows; when the texts hold more, they are not read to their end,
// and tokens_in_text counts what was.
Windows cut_windows(const Tokenizer& tokenizer, const std::vector<TextFile>& files, int64_t length,
                    int64_t most = 0);

// One sequence a document: its text's ids, behind BOS where the tokenizer adds one and the text
// does not begin with it (a chat's template has the say about that). Nothing is joined or padded;
// what is beyond `length` ids is cut off, documents of fewer than kShortestSequence are left out.
constexpr int64_t kShortestSequence = 16;
struct WholeDocuments {
  Windows sequences;
  int64_t cut = 0, left_out = 0;  // documents
};
WholeDocuments take_documents(const Tokenizer& tokenizer, const std::vector<TextFile>& files,
                              int64_t length);

// Windows picked by a seeded shuffle of all (Fisher and Yates; the order is part of the result):
// the places [first, first + count) of the shuffled list, so that two ranges never share a window.
Windows pick_windows(const Windows& all, int64_t first, int64_t count, uint64_t seed);

// The share of `evaluation` that stands in `calibration` too, in [0, 1]: of different runs of 64
// bytes (what every chat's template repeats counts once), white space taken as one space, about
// every sixteenth being looked at, of long texts fewer. 0 for texts too short to tell.
double overlap(const std::vector<TextFile>& calibration, const std::vector<TextFile>& evaluation);

}  // namespace halftone
