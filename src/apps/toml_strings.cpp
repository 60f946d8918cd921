#include "apps/toml_strings.h"

#include <algorithm>

#include "base/json.h"

namespace halftone {
namespace {

// Past the end of the string that begins `text`; npos: it has none.
size_t end_of_string(std::string_view text) {
  const char quote = text.front();
  for (size_t at = 1; at < text.size(); ++at) {
    if (text[at] == quote) return at + 1;
    if (text[at] == '\\' && quote == '"') ++at;
  }
  return std::string_view::npos;
}

}  // namespace

std::string toml_quoted(const std::string& text) {
  const bool literal = text.find_first_of("\\\"") != std::string::npos &&
                       text.find('\'') == std::string::npos && !text.ends_with('\\');
  return literal ? "'" + text + "'" : Json(text).dump();
}

std::string toml_list(const std::vector<std::string>& texts) {
  std::string out = "[";
  for (const std::string& text : texts) out += (out.size() > 1 ? ", " : "") + toml_quoted(text);
  return out + "]";
}

std::vector<std::string> read_toml_strings(std::string_view value, const std::string& origin) {
  constexpr std::string_view kBetween = "[], \t\r";
  std::vector<std::string> texts;
  for (;;) {
    value.remove_prefix(std::min(value.size(), value.find_first_not_of(kBetween)));
    if (value.empty()) return texts;
    const char first = value.front();
    const bool quoted = first == '"' || first == '\'';
    const size_t end =
        std::min(value.size(), quoted ? end_of_string(value) : value.find_first_of(kBetween));
    if (first == '"')
      texts.push_back(parse_json(value.substr(0, end), origin).get<std::string>());
    else
      texts.emplace_back(quoted ? value.substr(1, end - 2) : value.substr(0, end));
    value.remove_prefix(end);
  }
}

}  // namespace halftone
