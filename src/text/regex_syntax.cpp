// Oniguruma's pattern syntax (doc/RE of the library, ONIG_SYNTAX_ONIGURUMA) in PCRE2's. They differ
// in: \s, which is White_Space there and has U+180E besides here; \w, \d, \h, \b, \v; (?m), which
// is PCRE2's (?s); {n,m}+, which repeats there and is possessive here; {n}?, which is an option
// there and lazy here; {,n}.
#include <cctype>

#include "base/error.h"
#include "text/regex.h"
#include "text/unicode.h"

namespace halftone {
namespace {

constexpr std::string_view kSpace =
    R"(\x{9}-\x{d}\x{20}\x{85}\x{a0}\x{1680}\x{2000}-\x{200a}\x{2028}\x{2029}\x{202f}\x{205f}\x{3000})";
constexpr std::string_view kNotSpace =
    R"(\x{0}-\x{8}\x{e}-\x{1f}\x{21}-\x{84}\x{86}-\x{9f}\x{a1}-\x{167f}\x{1681}-\x{1fff})"
    R"(\x{200b}-\x{2027}\x{202a}-\x{202e}\x{2030}-\x{205e}\x{2060}-\x{2fff}\x{3001}-\x{10ffff})";
// Alphabetic, M, Nd, Pc; and below U+0100 the raised digits and fractions as well.
constexpr std::string_view kWord =
    R"(\p{L}\p{M}\p{Nd}\p{Nl}\p{Pc}\x{24b6}-\x{24e9}\x{1f130}-\x{1f149}\x{1f150}-\x{1f169})"
    R"(\x{1f170}-\x{1f189}\x{b2}\x{b3}\x{b9}\x{bc}-\x{be})";
constexpr std::string_view kHexDigit = "0-9a-fA-F";

class Translator {
 public:
  Translator(std::string_view pattern, const std::string& origin)
      : pattern_(pattern), origin_(origin) {}

  std::string run() {
    while (at_ < pattern_.size()) step();
    return std::move(out_);
  }

 private:
  [[noreturn]] void refuse(std::string_view what) const {
    throw bad_input("{}: pattern {}: {} is not supported", origin_, pattern_, what);
  }
  char peek(size_t ahead = 0) const {
    return at_ + ahead < pattern_.size() ? pattern_[at_ + ahead] : '\0';
  }

  void step() {
    const char c = peek();
    if (c == '{' && interval()) return;
    if (c == '*' || c == '+' || c == '?') return quantifier();
    if (c == '|') {
      out_ += pattern_[at_++];
      return;
    }
    if (c == '(') return open_group();
    if (c == ')') {
      if (groups_.empty()) refuse("an unmatched )");
      atom_ = groups_.back();
      groups_.pop_back();
      out_ += pattern_[at_++];
      return;
    }
    atom_ = out_.size();
    if (c == '[') return character_class();
    if (c == '\\') return escape();
    if (c == '{') {  // not an interval: itself
      out_ += "\\{";
      ++at_;
      return;
    }
    const size_t length = utf8_length(c);
    out_ += pattern_.substr(at_, length);
    at_ += length;
  }

  void quantifier() {
    out_ += pattern_[at_++];
    if (peek() == '?' || peek() == '+') out_ += pattern_[at_++];  // lazy, possessive
  }

  // {n}, {n,}, {,m}, {n,m} and what follows; false where the brace is an ordinary character.
  bool interval() {
    const size_t end = pattern_.find('}', at_);
    if (end == std::string_view::npos || out_.empty()) return false;
    const std::string_view body = pattern_.substr(at_ + 1, end - at_ - 1);
    if (body.empty() || body == "," ||
        body.find_first_not_of("0123456789,") != std::string_view::npos ||
        body.find(',') != body.rfind(',')) {
      return false;
    }
    out_ += '{';
    if (body.front() == ',') out_ += '0';
    out_.append(body).append("}");
    at_ = end + 1;
    const bool exact = body.find(',') == std::string_view::npos;
    if (peek() == '+' || (peek() == '?' && exact)) {
      out_.insert(atom_, "(?:");
      out_ += ')';
    }
    if (peek() == '+' || peek() == '?') out_ += pattern_[at_++];
    return true;
  }

  void open_group() {
    groups_.push_back(out_.size());
    out_ += pattern_[at_++];
    if (peek() != '?') return;
    out_ += pattern_[at_++];
    const char kind = peek();
    if (kind == ':' || kind == '=' || kind == '!' || kind == '>' || kind == '<') {
      out_ += pattern_[at_++];
      return;
    }
    // Options: i, and m, which lets the dot match newlines.
    while (peek() == 'i' || peek() == 'm' || peek() == '-') {
      out_ += peek() == 'm' ? 's' : peek();
      ++at_;
    }
    if (peek() != ':' && peek() != ')') refuse("the group (?" + std::string(1, peek()));
    if (peek() == ':') out_ += pattern_[at_++];
  }

  void character_class() {
    out_ += pattern_[at_++];
    if (peek() == '^') out_ += pattern_[at_++];
    bool first = true;
    while (peek() != ']' || first) {
      if (at_ >= pattern_.size()) refuse("a class without end");
      first = false;
      const char c = peek();
      if (c == '[') {
        const size_t end = pattern_.find(":]", at_);
        if (peek(1) != ':' || end == std::string_view::npos) refuse("a class within a class");
        out_ += pattern_.substr(at_, end + 2 - at_);
        at_ = end + 2;
      } else if (c == '&' && peek(1) == '&') {
        refuse("an intersection of classes (&&)");
      } else if (c == '\\') {
        class_escape();
      } else {
        const size_t length = utf8_length(c);
        out_ += pattern_.substr(at_, length);
        at_ += length;
      }
    }
    out_ += pattern_[at_++];
  }

  void class_escape() {
    switch (peek(1)) {
      case 's':
        return replace(kSpace);
      case 'S':
        return replace(kNotSpace);
      case 'w':
        return replace(kWord);
      case 'd':
        return replace(R"(\p{Nd})");
      case 'D':
        return replace(R"(\P{Nd})");
      case 'h':
        return replace(kHexDigit);
      case 'b':
        return replace(R"(\x{8})");
      default:
        return plain_escape();
    }
  }

  void escape() {
    const std::string word(kWord);
    switch (peek(1)) {
      case 's':
        return replace("[" + std::string(kSpace) + "]");
      case 'S':
        return replace("[^" + std::string(kSpace) + "]");
      case 'w':
        return replace("[" + word + "]");
      case 'W':
        return replace("[^" + word + "]");
      case 'd':
        return replace(R"(\p{Nd})");
      case 'D':
        return replace(R"(\P{Nd})");
      case 'h':
        return replace("[0-9a-fA-F]");
      case 'H':
        return replace("[^0-9a-fA-F]");
      case 'b':
        return replace("(?:(?<=[" + word + "])(?![" + word + "])|(?<![" + word + "])(?=[" + word +
                       "]))");
      case 'B':
        return replace("(?:(?<=[" + word + "])(?=[" + word + "])|(?<![" + word + "])(?![" + word +
                       "]))");
      case 'A':
      case 'z':
      case 'Z':
        return replace(pattern_.substr(at_, 2));
      default:
        return plain_escape();
    }
  }

  // What means the same in and out of a class.
  void plain_escape() {
    const char c = peek(1);
    if (c == 'v') return replace(R"(\x{b})");
    if (c == 'u') {
      const std::string_view digits = pattern_.substr(std::min(at_ + 2, pattern_.size()), 4);
      out_.append("\\x{").append(digits).append("}");
      at_ += 2 + digits.size();
      return;
    }
    if (c == 'p' || c == 'P') {
      const size_t end = pattern_.find('}', at_);
      if (peek(2) != '{' || end == std::string_view::npos) refuse("a property without braces");
      out_ += pattern_.substr(at_, end + 1 - at_);
      at_ = end + 1;
      return;
    }
    const bool letter = std::isalpha(static_cast<unsigned char>(c)) != 0;
    if (c == '\0' || (letter && std::string_view("nrtfaex").find(c) == std::string_view::npos)) {
      refuse("\\" + std::string(1, c));
    }
    out_ += '\\';
    const size_t length = utf8_length(c);
    out_ += pattern_.substr(at_ + 1, length);
    at_ += 1 + length;
  }

  void replace(std::string_view text) {
    out_ += text;
    at_ += 2;
  }

  std::string_view pattern_;
  const std::string& origin_;
  std::string out_;
  size_t at_ = 0;
  size_t atom_ = 0;             // where in out_ the last atom begins
  std::vector<size_t> groups_;  // where in out_ the open groups begin
};

}  // namespace

std::string translate_pattern(std::string_view pattern, const std::string& origin) {
  if (find_invalid_utf8(pattern)) throw bad_input("{}: pattern: not UTF-8", origin);
  return Translator(pattern, origin).run();
}

}  // namespace halftone
