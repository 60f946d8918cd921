// The field "pattern" of Split and Replace: {"String": "…"} or {"Regex": "…"}.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "text/regex.h"
#include "text/tokenizer_spec.h"

namespace halftone {

class Pattern {
 public:
  explicit Pattern(Options& options);  // reads the field "pattern"
  explicit Pattern(Regex regex) : regex_(std::move(regex)) {}

  // What it matches when that is one single character, and no letter: an ASCII one, or U+2581.
  std::optional<char32_t> sign() const;
  // How a regex was spelled; empty for a string.
  std::string_view expression() const { return regex_ ? regex_->expression() : std::string_view(); }

  std::string replace_all(std::string_view text, std::string_view content) const;

  // Finds matches in many texts, with one working memory.
  class Finder {
   public:
    explicit Finder(const Pattern& pattern);
    void find_all(std::string_view text, std::vector<Span>& matches) const;

   private:
    const Pattern& pattern_;
    std::optional<RegexMatcher> matcher_;
  };

 private:
  std::string string_;  // where there is no regex
  std::optional<Regex> regex_;
};

}  // namespace halftone
