// See jinja_lexer.h.
#include "text/jinja_lexer.h"

#include <algorithm>

#include "text/jinja_characters.h"
#include "text/unicode.h"

namespace halftone::jinja {
namespace {

constexpr bool is_digit(char c) { return c >= '0' && c <= '9'; }
constexpr bool begins_name(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

// Lines end with \n, and one at the very end is dropped.
std::string with_plain_newlines(std::string_view source) {
  std::string out;
  for (size_t at = 0; at < source.size(); ++at) {
    out += source[at] == '\r' ? '\n' : source[at];
    if (source[at] == '\r' && at + 1 < source.size() && source[at + 1] == '\n') ++at;
  }
  if (out.ends_with('\n')) out.pop_back();
  return out;
}

class Lexer {
 public:
  explicit Lexer(std::string_view source) : source_(with_plain_newlines(source)) {}

  std::vector<Token> run() {
    while (at_ < source_.size()) {
      const size_t begin = next_delimiter();
      take_text(begin);
      if (begin == source_.size()) break;
      take_delimited();
    }
    push(Token::Kind::end, "");
    return std::move(tokens_);
  }

 private:
  [[noreturn]] void fail_here(std::string message) const {
    throw SyntaxFault{line_, std::move(message)};
  }
  void push(Token::Kind kind, std::string text) {
    tokens_.push_back({kind, std::move(text), line_});
  }
  char peek(size_t ahead = 0) const {
    return at_ + ahead < source_.size() ? source_[at_ + ahead] : '\0';
  }
  bool follows(std::string_view text) const {
    return std::string_view(source_).substr(at_).starts_with(text);
  }
  void advance(size_t count) {
    line_ += static_cast<int>(std::count(source_.begin() + static_cast<std::ptrdiff_t>(at_),
                                         source_.begin() + static_cast<std::ptrdiff_t>(at_ + count),
                                         '\n'));
    at_ += count;
  }
  void skip_space() {
    const std::string_view rest = std::string_view(source_).substr(at_);
    advance(rest.size() - strip_left(rest).size());
  }

  size_t next_delimiter() const {
    for (size_t at = at_; at + 1 < source_.size(); ++at)
      if (source_[at] == '{' && std::string_view("{%#").find(source_[at + 1]) != std::string::npos)
        return at;
    return source_.size();
  }

  // The text before the delimiter at `begin`, without what the delimiter takes of its end.
  void take_text(size_t begin) {
    const std::string_view whole = std::string_view(source_).substr(at_, begin - at_);
    std::string_view text = whole;
    if (begin < source_.size()) {
      const char sign = begin + 2 < source_.size() ? source_[begin + 2] : '\0';
      if (sign == '-')
        text = strip_right(text);
      else if (sign != '+' && source_[begin + 1] != '{')
        text = without_indent(text);
    }
    if (!text.empty()) push(Token::Kind::text, std::string(text));
    advance(whole.size());
  }

  // lstrip_blocks: white space between the line's start and a block goes.
  std::string_view without_indent(std::string_view text) const {
    const size_t newline = text.rfind('\n');
    const size_t start = newline == std::string_view::npos ? 0 : newline + 1;
    if (start == 0 && !line_starts_) return text;
    return strip_left(text.substr(start)).empty() ? text.substr(0, start) : text;
  }

  void take_delimited() {
    const char kind = peek(1);
    const size_t signs = peek(2) == '-' || (peek(2) == '+') ? 3 : 2;
    if (kind == '#') {
      advance(signs);
      take_comment();
      return;
    }
    push(kind == '{' ? Token::Kind::output_begin : Token::Kind::block_begin, "");
    advance(signs);
    const int opened = line_;
    const size_t first = tokens_.size();
    while (!take_end(kind)) {
      if (at_ >= source_.size()) {
        line_ = opened;
        fail_here(kind == '{' ? "{{ is not closed" : "{% is not closed");
      }
      take_token();
      if (kind == '%' && tokens_.size() == first + 1 && tokens_.back().is_name("raw"))
        fail_here("{% raw %} is not supported");
    }
  }

  void take_comment() {
    const size_t end = source_.find("#}", at_);
    if (end == std::string::npos) fail_here("{# is not closed");
    const char sign = end > at_ ? source_[end - 1] : '\0';
    advance(end + 2 - at_);
    take_behind(sign, /*trim=*/true);
  }

  // What a closing delimiter takes of the text behind it.
  void take_behind(char sign, bool trim) {
    const size_t closed = at_;
    if (sign == '-')
      skip_space();
    else if (trim && sign != '+' && peek() == '\n')
      advance(1);
    line_starts_ = at_ > closed && source_[at_ - 1] == '\n';
  }

  // Whether the closing delimiter stands here; it is taken then. Brackets come first.
  bool take_end(char kind) {
    skip_space();
    if (!brackets_.empty()) return false;
    const std::string_view end = kind == '{' ? "}}" : "%}";
    const bool has_sign = peek() == '-' || (kind == '%' && peek() == '+');
    const char sign = has_sign ? peek() : '\0';
    if (std::string_view(source_).substr(std::min(at_ + (has_sign ? 1 : 0), source_.size()), 2) !=
        end)
      return false;
    push(kind == '{' ? Token::Kind::output_end : Token::Kind::block_end, "");
    advance(has_sign ? 3 : 2);
    take_behind(sign, kind == '%');
    return true;
  }

  void take_token() {
    const char c = peek();
    if (begins_name(c)) {
      size_t length = 1;
      while (begins_name(peek(length)) || is_digit(peek(length))) ++length;
      push(Token::Kind::name, source_.substr(at_, length));
      advance(length);
    } else if (is_digit(c)) {
      take_number();
    } else if (c == '"' || c == '\'') {
      take_string();
    } else {
      take_sign();
    }
  }

  void take_number() {
    size_t length = 0;
    const auto digits = [&] {
      while (is_digit(peek(length))) ++length;
    };
    digits();
    bool integer = true;
    // Of messages.0.role, "0." is no number.
    const bool behind_dot = !tokens_.empty() && tokens_.back().is(".");
    if (!behind_dot && peek(length) == '.' && is_digit(peek(length + 1))) {
      integer = false;
      ++length;
      digits();
    }
    const size_t sign = peek(length + 1) == '+' || peek(length + 1) == '-' ? 1 : 0;
    if (!behind_dot && (peek(length) == 'e' || peek(length) == 'E') &&
        is_digit(peek(length + 1 + sign))) {
      integer = false;
      length += 1 + sign;
      digits();
    }
    const std::string text = source_.substr(at_, length);
    if (begins_name(peek(length)) || (integer && length > 1 && c_is_zero(text)))
      fail_here(fmt::format("the number {}{} is not supported", text, peek(length)));
    push(integer ? Token::Kind::integer : Token::Kind::number, text);
    advance(length);
  }
  static bool c_is_zero(const std::string& text) { return text.front() == '0'; }

  void take_string() {
    const char quote = peek();
    const int line = line_;
    std::string text;
    for (advance(1); peek() != quote; advance(1)) {
      if (at_ >= source_.size()) {
        line_ = line;
        fail_here("a string is not closed");
      }
      if (peek() == '\\')
        take_escape(text);
      else
        text += peek();
    }
    advance(1);
    tokens_.push_back({Token::Kind::string, std::move(text), line});
  }

  // Python's escapes; leaves at_ on the last character.
  void take_escape(std::string& text) {
    constexpr std::string_view kNames = "nrtabfv\\'\"", kMeant = "\n\r\t\a\b\f\v\\'\"";
    advance(1);
    const char c = peek();
    if (const size_t known = kNames.find(c); c != '\0' && known != std::string_view::npos) {
      text += kMeant[known];
    } else if (c == 'x' || c == 'u' || c == 'U') {
      take_code_point(text, c == 'x' ? 2 : c == 'u' ? 4 : 8);
    } else if (is_digit(c) || c == 'N') {
      fail_here(fmt::format("the escape \\{} is not supported", c));
    } else if (c != '\n') {
      text += '\\';
      text += c;
    }
  }
  void take_code_point(std::string& text, size_t digits) {
    uint32_t point = 0;
    for (size_t i = 0; i < digits; ++i) {
      advance(1);
      const char c = peek();
      const char low = static_cast<char>(c | 0x20);
      if (!is_digit(c) && (low < 'a' || low > 'f')) fail_here("an escape is cut short");
      point = point * 16 + static_cast<uint32_t>(is_digit(c) ? c - '0' : low - 'a' + 10);
    }
    if (point > 0x10ffff || (point >= 0xd800 && point < 0xe000))
      fail_here(fmt::format("the escape \\u{:04x} is no character", point));
    append_utf8(text, point);
  }

  void take_sign() {
    for (const std::string_view two : {"//", "**", "==", "!=", "<=", ">="}) {
      if (!follows(two)) continue;
      push(Token::Kind::sign, std::string(two));
      return advance(2);
    }
    const char c = peek();
    if (c == '\0' || std::string_view("+-*/%~()[]{}<>=.:|,").find(c) == std::string_view::npos) {
      const size_t length = std::min(utf8_length(c), source_.size() - at_);
      fail_here(fmt::format("unexpected character {}", python_quoted(source_.substr(at_, length))));
    }
    if (c == '(' || c == '[' || c == '{') {
      brackets_ += c == '(' ? ')' : static_cast<char>(c + 2);
    } else if (c == ')' || c == ']' || c == '}') {
      if (brackets_.empty() || brackets_.back() != c)
        fail_here(brackets_.empty() ? fmt::format("unexpected '{}'", c)
                                    : fmt::format("got '{}', expected '{}'", c, brackets_.back()));
      brackets_.pop_back();
    }
    push(Token::Kind::sign, std::string(1, c));
    advance(1);
  }

  std::string source_;
  size_t at_ = 0;
  int line_ = 1;
  bool line_starts_ = true;
  std::string brackets_;  // those that are still to be closed
  std::vector<Token> tokens_;
};

}  // namespace

std::vector<Token> tokens_of(std::string_view source) { return Lexer(source).run(); }

}  // namespace halftone::jinja
