// Where a text can be cut so that the ids of its parts, joined, are the ids of the whole.
//
// Only one kind of place is looked at: between a letter that no normal form changes and a space, a
// line feed, a full stop or a comma. Each step of the tokenizer says whether it works on both sides
// of such a place as it would on the whole: normal forms, because none of these characters joins
// what stands before it; a pattern, because none of its alternatives (a list of those that are
// known) matches across or looks back; byte pairs, where no merge joins the two.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "text/bpe.h"
#include "text/normalizer.h"
#include "text/pre_tokenizer.h"
#include "text/regex.h"

namespace halftone {

class CutPlaces {
 public:
  // All outlive it.
  CutPlaces(const Normalizer& normalizer, const PreTokenizer& pre_tokenizer, const Bpe& bpe,
            const std::vector<AddedToken>& added);
  // The last such place behind `from` (the second part starts there), npos when there is none.
  // `text` is well-formed UTF-8 but for a character that may be incomplete at its end.
  size_t last(std::string_view text, size_t from) const;

 private:
  struct Follower {
    char32_t character, normalized;
    bool by_merges;  // no piece ends before it: what matters is whether some merge joins
  };
  bool fits(const std::vector<AddedToken>& added, const Follower& follower) const;
  static bool is_steady_letter(char32_t character, const RegexMatcher& letters);
  bool parts(char32_t letter, const Follower& follower) const;

  const Normalizer& normalizer_;
  const Bpe& bpe_;
  std::vector<Follower> followers_;  // empty: this tokenizer's texts are not cut
  Regex letter_;
};

}  // namespace halftone
