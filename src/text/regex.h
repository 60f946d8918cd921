// Regular expressions of tokenizer.json, which are Oniguruma's (default syntax), run by PCRE2.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

struct pcre2_real_code_8;

namespace halftone {

// A part of a text, in bytes.
struct Span {
  size_t begin, end;
};

class Regex {
 public:
  // `origin` is named in errors. Throws Error(bad_input) for a pattern that cannot be compiled or
  // uses what has no equal in PCRE2.
  Regex(std::string_view pattern, const std::string& origin);
  ~Regex();
  Regex(Regex&&) noexcept;
  const std::string& expression() const { return expression_; }

 private:
  friend class RegexMatcher;
  std::string origin_, expression_;
  pcre2_real_code_8* code_ = nullptr;
};

// The working memory of matches; one a thread.
class RegexMatcher {
 public:
  explicit RegexMatcher(const Regex& regex);
  ~RegexMatcher();
  RegexMatcher(const RegexMatcher&) = delete;
  RegexMatcher& operator=(const RegexMatcher&) = delete;

  // All matches in `text` (well-formed UTF-8), left to right, not overlapping; an empty match is
  // left out where the match before it ends. Throws Error(bad_input) when the pattern needs more
  // steps or memory than any sane one does.
  void find_all(std::string_view text, std::vector<Span>& matches) const;

 private:
  struct State;
  const Regex& regex_;
  std::unique_ptr<State> state_;
};

// Oniguruma's syntax in PCRE2's: what the two read differently is spelled out. Throws
// Error(bad_input) naming the construct.
std::string translate_pattern(std::string_view pattern, const std::string& origin);

}  // namespace halftone
