// Two passes over the characters: the first blanks comments and literals, the second follows the
// braces.
#include "outline.h"

#include <cctype>
#include <optional>
#include <regex>
#include <sstream>

namespace halftone::check {
namespace {

std::vector<std::string> split_lines(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);) lines.push_back(line);
  return lines;
}

// Where the literal or comment that starts at `i` ends (one past it); nothing when none starts
// there. `quoted` says that its first and last characters stay, so that code keeps "" and ''.
struct Span {
  size_t end;
  bool quoted;
};

Span quoted_span(const std::string& text, size_t i) {
  const char quote = text[i];
  size_t end = i + 1;
  while (end < text.size() && text[end] != quote && text[end] != '\n')
    end += text[end] == '\\' ? 2 : 1;
  return {std::min(end + 1, text.size()), true};
}

std::optional<Span> blank_span(const std::string& text, size_t i) {
  const auto end_of = [&](const std::string& mark, size_t from) {
    const size_t at = text.find(mark, from);
    return at == std::string::npos ? text.size() : at + mark.size();
  };
  const bool word_before = i > 0 && (std::isalnum(text[i - 1]) || text[i - 1] == '_');
  if (text.compare(i, 2, "//") == 0) return Span{std::min(text.find('\n', i), text.size()), false};
  if (text.compare(i, 2, "/*") == 0) return Span{end_of("*/", i + 2), false};
  if (text.compare(i, 2, "R\"") == 0 && !word_before) {
    const size_t open = text.find('(', i);
    if (open == std::string::npos) return Span{text.size(), true};
    return Span{end_of(")" + text.substr(i + 2, open - i - 2) + "\"", open), true};
  }
  if (text[i] == '"') return quoted_span(text, i);
  if (text[i] == '\'' && !word_before) return quoted_span(text, i);  // not the ' of 1'000
  return std::nullopt;
}

std::string blank_literals(const std::string& text) {
  std::string out = text;
  for (size_t i = 0; i < text.size();) {
    const std::optional<Span> span = blank_span(text, i);
    if (!span) {
      ++i;
      continue;
    }
    const size_t margin = span->quoted ? 1 : 0;
    for (size_t k = i + margin; k + margin < span->end; ++k) {
      if (out[k] != '\n') out[k] = ' ';
    }
    i = span->end;
  }
  return out;
}

// The words before a brace, without what would mislead: template<...>, alignas(...), [[...]].
std::string plain_head(std::string head) {
  static const std::regex noise(
      R"(\balignas\s*\([^)]*\)|\[\[[^\]]*\]\]|\b(public|private|protected)\s*:)");
  head = std::regex_replace(head, noise, " ");
  for (size_t at = head.find("template"); at != std::string::npos; at = head.find("template")) {
    size_t i = head.find('<', at);
    if (i == std::string::npos) break;
    int depth = 0;
    do {
      depth += head[i] == '<' ? 1 : head[i] == '>' ? -1 : 0;
    } while (++i < head.size() && depth > 0);
    head.erase(at, i - at);
  }
  return head;
}

enum class Scope { space, type, function, value };

bool has_word(const std::string& text, const char* word) {
  return std::regex_search(text, std::regex(std::string("\\b(") + word + ")\\b"));
}

Scope scope_of(const std::string& head) {
  const size_t paren = head.find('(');
  const size_t equals =
      std::regex_search(head, std::regex(R"(\boperator\s*=)")) ? std::string::npos : head.find('=');
  if (has_word(head, "namespace|extern") && paren == std::string::npos) return Scope::space;
  if (has_word(head, "class|struct|union|enum") && paren == std::string::npos &&
      equals == std::string::npos) {
    return Scope::type;
  }
  if (paren == std::string::npos) return Scope::value;
  const bool lambda = head.find('[') < paren;
  return equals < paren && !lambda ? Scope::value : Scope::function;
}

// Inside a constructor's list: `Name() : member_{` opens a value, not the body.
bool opens_member(const std::string& head) {
  static const std::regex list(R"(\)[^()]*[^:]:[^:].*[\w>]\s*$)");
  static const std::regex after(R"(\)\s*(const|noexcept|override|final|mutable)\s*$)");
  return std::regex_search(head, list) && !std::regex_search(head, after);
}

std::string name_of(const std::string& head) {
  static const std::regex name(R"(([\w:~]+|operator\s*\S+)\s*\()");
  static const std::regex test(R"(^\s*TEST\w*\s*\(\s*(\w+)\s*,\s*(\w+))");
  std::smatch match;
  if (std::regex_search(head, match, test)) return match[1].str() + "." + match[2].str();
  return std::regex_search(head, match, name) ? match[1].str() : "lambda";
}

class Walk {
 public:
  explicit Walk(Outline& out) : out_(out) {}

  void line(int number, const std::string& code) {
    for (const char c : code) {
      line_ = number;
      character(c);
    }
    character(' ');
  }

 private:
  struct Open {
    Scope scope;
    int first_line;
    std::string name;
  };

  bool in_function() const { return !open_.empty() && open_.back().scope == Scope::function; }
  bool in_value() const { return !open_.empty() && open_.back().scope == Scope::value; }

  void character(char c) {
    if (c == '{') {
      open();
    } else if (c == '}') {
      close();
    } else if (c == ';') {
      if (!in_value()) statement();
    } else if (!in_value()) {
      if (head_.empty() && std::isspace(static_cast<unsigned char>(c))) return;
      if (head_.empty()) head_line_ = line_;
      head_ += c;
    }
  }

  void open() {
    const std::string head = plain_head(head_);
    Scope scope = Scope::function;  // a block within a function
    if (in_value() || opens_member(head)) {
      scope = Scope::value;
    } else if (!in_function()) {
      scope = scope_of(head);
    }
    if (in_function() && !in_value()) local_static(head);
    open_.push_back({scope, head_line_, in_function() ? "" : name_of(head)});
    if (scope != Scope::value) head_.clear();
  }

  void close() {
    if (open_.empty()) return;
    const Open closed = open_.back();
    open_.pop_back();
    if (closed.scope == Scope::value) return;  // the head goes on: `int x{1};`, `: a_{1}, b_{2} {`
    if (closed.scope == Scope::function && !in_function()) {
      out_.functions.push_back({closed.first_line, line_, closed.name});
    }
    head_.clear();
  }

  void statement() {
    const std::string head = plain_head(head_);
    if (in_function()) {
      local_static(head);
    } else if (open_.empty() || open_.back().scope == Scope::space) {
      global(head);
    } else if (has_word(head, "static") && head.find('(') == std::string::npos) {
      global(head);  // a static member
    }
    head_.clear();
  }

  void local_static(const std::string& head) {
    if (std::regex_search(head, std::regex(R"(^\s*(static|thread_local)\b)"))) global(head);
  }

  void global(const std::string& head) {
    static const std::regex declaration(
        R"(^\s*(using|typedef|friend|template|static_assert|extern|namespace)\b)"
        R"(|^\s*(class|struct|enum|union|concept)\b)");
    if (head.empty() || std::regex_search(head, declaration)) return;
    const size_t assigned = std::min(head.find('='), head.find('{'));
    const std::string left = head.substr(0, assigned);
    if (has_word(left, "const|constexpr") || left.find('(') != std::string::npos) return;
    if (!std::regex_search(left, std::regex(R"(\w[\w:<>,*&\s]*\s[*&]*\w+(\[.*\])?\s*$)"))) return;
    out_.mutable_globals.push_back({head_line_, left});
  }

  Outline& out_;
  std::vector<Open> open_;
  std::string head_;
  int head_line_ = 0, line_ = 0;
};

}  // namespace

Outline outline(const std::string& text) {
  static const std::regex include(R"(^\s*#\s*include\s*"([^"]+)\")");
  Outline out;
  out.lines = split_lines(text);
  out.code = split_lines(blank_literals(text));
  Walk walk(out);
  bool directive = false;
  for (size_t i = 0; i < out.code.size(); ++i) {
    const int number = static_cast<int>(i) + 1;
    const std::string& code = out.code[i];
    std::smatch match;
    if (std::regex_search(out.lines[i], match, include)) out.includes.push_back({number, match[1]});
    const size_t first = code.find_first_not_of(" \t");
    directive = directive || (first != std::string::npos && code[first] == '#');
    if (!directive) walk.line(number, code);
    directive = directive && !code.empty() && code.back() == '\\';
  }
  return out;
}

}  // namespace halftone::check
