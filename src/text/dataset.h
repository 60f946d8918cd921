// Texts for calibration and evaluation: files to documents to windows of token ids.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "text/text_file.h"
#include "text/tokenizer.h"

namespace halftone {

// Windows of exactly `length` ids by design §8's hf rule. A plain text is tokenized whole, without
// special tokens; the documents of one file are joined by an empty line ("\n\n") before that, and
// nothing else is put between them. The ids of all files, one after the other, are cut into windows
// that do not overlap; each window's first token is replaced by BOS where the tokenizer adds one;
// the partial tail is dropped. Of the texts only their ids are held.
struct Windows {
  int64_t length = 0;
  std::vector<int32_t> ids;    // count()·length
  int64_t tokens_in_text = 0;  // the dropped tail included
  // Drops the partial tail of `ids`, which are all the tokens, and whatever is beyond `most`
  // windows
  // (> 0); sets the first token of each window.
  void cut(std::optional<int32_t> bos, int64_t most);
  int64_t count() const { return length == 0 ? 0 : static_cast<int64_t>(ids.size()) / length; }
  const int32_t* window(int64_t i) const { return ids.data() + i * length; }
};
// `most` > 0: the first so many windows; when the texts hold more, they are not read to their end,
// and tokens_in_text counts what was.
Windows cut_windows(const Tokenizer& tokenizer, const std::vector<TextFile>& files, int64_t length,
                    int64_t most = 0);

// Windows picked by a seeded shuffle of all (Fisher and Yates; the order is part of the result):
// the places [first, first + count) of the shuffled list, so that two ranges never share a window.
Windows pick_windows(const Windows& all, int64_t first, int64_t count, uint64_t seed);

// The share of `evaluation` that stands in `calibration` too, in [0, 1]: of runs of 64 bytes, white
// space taken as one space, about every sixteenth being looked at, of long texts fewer. 0 for texts
// too short to tell.
double overlap(const std::vector<TextFile>& calibration, const std::vector<TextFile>& evaluation);

}  // namespace halftone
