// See cut_places.h.
#include "text/cut_places.h"

#include <algorithm>
#include <optional>

#include "text/unicode.h"

namespace halftone {
namespace {

constexpr char32_t kFollowers[] = {U' ', U'\n', U'.', U',', U'\u3002', U'\uff0c'};

bool is_ascii_letter(char32_t character) {
  return (character >= U'a' && character <= U'z') || (character >= U'A' && character <= U'Z');
}

bool surely_no_letter(char byte) {
  return static_cast<unsigned char>(byte) < 0x80 && !is_ascii_letter(static_cast<char32_t>(byte));
}

// Conjoining jamo are letters that join the letter before them.
bool is_jamo(char32_t character) {
  return (character >= 0x1100 && character <= 0x11ff) ||
         (character >= 0xa960 && character <= 0xa97f) ||
         (character >= 0xd7b0 && character <= 0xd7ff);
}

size_t character_start(std::string_view text, size_t at) {
  while (at > 0 && (static_cast<unsigned char>(text[at]) & 0xc0) == 0x80) --at;
  return at;
}

std::optional<char32_t> only_character(std::string_view text) {
  if (text.empty() || utf8_length(text[0]) != text.size()) return std::nullopt;
  size_t at = 0;
  return next_character(text, at);
}

}  // namespace

CutPlaces::CutPlaces(const Normalizer& normalizer, const PreTokenizer& pre_tokenizer,
                     const Bpe& bpe, const std::vector<AddedToken>& added)
    : normalizer_(normalizer), bpe_(bpe), letter_("\\p{L}", "letters") {
  for (const char32_t character : kFollowers) {
    const std::optional<char32_t> normalized = normalizer.at_cut(character);
    if (!normalized) continue;
    Follower follower{character, *normalized, false};
    const AtCut cut = pre_tokenizer.at_cut(follower.normalized);
    follower.by_merges = cut == AtCut::passes;
    if (cut != AtCut::crosses && fits(added, follower)) followers_.push_back(follower);
  }
}

// No added token matches across the place, nor depends on what stands on its other side.
bool CutPlaces::fits(const std::vector<AddedToken>& added, const Follower& follower) const {
  return std::none_of(added.begin(), added.end(), [&](const AddedToken& token) {
    std::string content = token.content, sought = to_utf8(follower.character);
    if (token.normalized) {
      normalizer_.run(content);
      normalizer_.run(sought, TextPart::continued);
    }
    if (content.empty()) return false;
    if (token.rstrip && !surely_no_letter(content.back())) return true;
    for (size_t at = content.find(sought); at != std::string::npos;
         at = content.find(sought, at + 1)) {
      if (at == 0 ? token.single_word : !surely_no_letter(content[at - 1])) return true;
    }
    return false;
  });
}

// A letter, and no normal form changes it.
bool CutPlaces::is_steady_letter(char32_t character, const RegexMatcher& letters) {
  if (character < 0x80) return is_ascii_letter(character);
  if (is_jamo(character)) return false;
  const std::string spelled = to_utf8(character);
  std::vector<Span> matches;
  letters.find_all(spelled, matches);
  return !matches.empty() && normalize(spelled, NormalForm::nfkd) == spelled;
}

bool CutPlaces::parts(char32_t letter, const Follower& follower) const {
  if (!follower.by_merges) return true;
  std::string spelled = to_utf8(letter);
  normalizer_.run(spelled, TextPart::continued);
  const auto normalized = only_character(spelled);
  return normalized && bpe_.parts(*normalized, follower.normalized);
}

size_t CutPlaces::last(std::string_view text, size_t from) const {
  if (followers_.empty() || text.empty()) return std::string_view::npos;
  const RegexMatcher letters(letter_);
  for (size_t at = character_start(text, text.size() - 1); at > from;) {
    const size_t before = character_start(text, at - 1);
    size_t next = at;
    const bool whole = at + utf8_length(text[at]) <= text.size();
    const char32_t character = whole ? next_character(text, next) : U'\0';
    const auto follower =
        std::find_if(followers_.begin(), followers_.end(),
                     [&](const Follower& each) { return each.character == character; });
    if (follower != followers_.end()) {
      size_t letter = before;
      const char32_t preceding = next_character(text, letter);
      if (is_steady_letter(preceding, letters) && parts(preceding, *follower)) return at;
    }
    at = before;
  }
  return std::string_view::npos;
}

}  // namespace halftone
