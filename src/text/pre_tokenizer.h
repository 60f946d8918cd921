// tokenizer.json's "pre_tokenizer": cuts the normalized text into the pieces that BPE works on, and
// respells them (byte-level alphabet, "▁" for the space).
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/json.h"
#include "text/regex.h"

namespace halftone {

// A text and its pieces, in order, never empty; what lies between them is dropped.
struct Pieces {
  std::string text;
  std::vector<Span> spans;
  bool at_start = true;  // the first piece stands at the very start of the user's text
};

struct PreTokenizerStep;  // pre_tokenizer.cpp

// What cutting a text between two of its characters does to its pieces: they may be others; or they
// are the same, but for the one that is cut; or all are the same, because one ends there.
enum class AtCut : uint8_t { crosses, passes, parts };

class PreTokenizer {
 public:
  // null: one piece. Throws Error(bad_input) for a type or an option that is not known. Known:
  // Sequence, Split, ByteLevel, Digits, Metaspace, Punctuation, Whitespace, WhitespaceSplit.
  PreTokenizer(const Json& json, const std::string& origin);
  ~PreTokenizer();
  PreTokenizer(PreTokenizer&&) noexcept;

  void run(Pieces& pieces) const;
  // For a cut behind a letter and before `next`, one of those that Normalizer::at_cut() gives; the
  // second part is run with at_start = false. `next` := what it is respelled as, when it passes.
  AtCut at_cut(char32_t& next) const;
  bool byte_level() const { return byte_level_; }  // some step maps bytes to characters

 private:
  std::vector<std::unique_ptr<PreTokenizerStep>> steps_;
  bool byte_level_ = false;
};

}  // namespace halftone
