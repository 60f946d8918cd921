// See jinja_characters.h.
#include "text/jinja_characters.h"

#include <fmt/core.h>
#include <utf8proc.h>

#include <algorithm>

#include "text/jinja_value.h"
#include "text/unicode.h"

namespace halftone::jinja {
namespace {

constexpr char32_t kCapitalIWithDot = 0x130, kCapitalSigma = 0x3a3;

bool is_cased(char32_t c) {
  const utf8proc_category_t category = utf8proc_category(static_cast<utf8proc_int32_t>(c));
  return category == UTF8PROC_CATEGORY_LU || category == UTF8PROC_CATEGORY_LL ||
         category == UTF8PROC_CATEGORY_LT;
}

// Characters such as ß have an upper case of several characters; their folded form shows it.
bool has_long_case(char32_t c) {
  utf8proc_int32_t folded[8];
  int last_bound_class = 0;
  return c >= 0x80 && utf8proc_decompose_char(static_cast<utf8proc_int32_t>(c), folded, 8,
                                              UTF8PROC_CASEFOLD, &last_bound_class) > 1;
}

enum class Case { lower, upper, title };

void append_case(std::string& out, char32_t c, Case to) {
  if (to == Case::lower ? c == kCapitalIWithDot || c == kCapitalSigma : has_long_case(c))
    fail("the other case of U+{:04X} is not supported", static_cast<uint32_t>(c));
  const auto point = static_cast<utf8proc_int32_t>(c);
  const utf8proc_int32_t other = to == Case::lower   ? utf8proc_tolower(point)
                                 : to == Case::upper ? utf8proc_toupper(point)
                                                     : utf8proc_totitle(point);
  append_utf8(out, static_cast<char32_t>(other));
}

std::string in_case(std::string_view text, Case to) {
  std::string out;
  for (size_t at = 0; at < text.size();) append_case(out, next_character(text, at), to);
  return out;
}

size_t behind_last_character(std::string_view text) {
  size_t at = text.size() - 1;
  while (at > 0 && (static_cast<unsigned char>(text[at]) & 0xc0) == 0x80) --at;
  return at;
}

bool is_stripped(std::string_view character, const std::optional<std::string_view>& of) {
  if (of) return of->find(character) != std::string_view::npos;
  size_t at = 0;
  return is_space(next_character(character, at));
}

bool is_printable(char32_t c) {
  const utf8proc_category_t category = utf8proc_category(static_cast<utf8proc_int32_t>(c));
  switch (category) {
    case UTF8PROC_CATEGORY_CC:
    case UTF8PROC_CATEGORY_CF:
    case UTF8PROC_CATEGORY_CS:
    case UTF8PROC_CATEGORY_CO:
    case UTF8PROC_CATEGORY_CN:
    case UTF8PROC_CATEGORY_ZL:
    case UTF8PROC_CATEGORY_ZP:
      return false;
    case UTF8PROC_CATEGORY_ZS:
      return c == ' ';
    default:
      return true;
  }
}

std::string escape_of(char32_t c) {
  const auto point = static_cast<uint32_t>(c);
  if (point < 0x100) return fmt::format("\\x{:02x}", point);
  if (point < 0x10000) return fmt::format("\\u{:04x}", point);
  return fmt::format("\\U{:08x}", point);
}

std::string json_escape_of(char32_t c) {
  const auto point = static_cast<uint32_t>(c);
  if (point < 0x10000) return fmt::format("\\u{:04x}", point);
  return fmt::format("\\u{:04x}\\u{:04x}", 0xd7c0 + (point >> 10), 0xdc00 + (point & 0x3ff));
}

}  // namespace

int64_t count_characters(std::string_view text) {
  return std::count_if(text.begin(), text.end(),
                       [](char c) { return (static_cast<unsigned char>(c) & 0xc0) != 0x80; });
}

std::vector<std::string_view> characters_of(std::string_view text) {
  std::vector<std::string_view> characters;
  for (size_t at = 0; at < text.size();) {
    const size_t begin = at;
    next_character(text, at);
    characters.push_back(text.substr(begin, at - begin));
  }
  return characters;
}

bool is_space(char32_t c) { return is_white_space(c) || (c >= 0x1c && c <= 0x1f); }

std::string_view strip_left(std::string_view text, std::optional<std::string_view> of) {
  while (!text.empty()) {
    const size_t length = std::min(utf8_length(text.front()), text.size());
    if (!is_stripped(text.substr(0, length), of)) break;
    text.remove_prefix(length);
  }
  return text;
}

std::string_view strip_right(std::string_view text, std::optional<std::string_view> of) {
  while (!text.empty()) {
    const size_t begin = behind_last_character(text);
    if (!is_stripped(text.substr(begin), of)) break;
    text = text.substr(0, begin);
  }
  return text;
}

std::string upper(std::string_view text) { return in_case(text, Case::upper); }
std::string lower(std::string_view text) { return in_case(text, Case::lower); }

std::string capitalize(std::string_view text) {
  if (text.empty()) return "";
  const size_t first = utf8_length(text.front());
  return in_case(text.substr(0, first), Case::title) + lower(text.substr(first));
}

std::string title(std::string_view text) {
  std::string out;
  bool within = false;
  for (size_t at = 0; at < text.size();) {
    const char32_t c = next_character(text, at);
    append_case(out, c, within ? Case::lower : Case::title);
    within = is_cased(c);
  }
  return out;
}

std::string title_of_words(std::string_view text) {
  constexpr std::string_view kBreaks = "-({[<";
  std::string out;
  bool within = false;
  for (size_t at = 0; at < text.size();) {
    const char32_t c = next_character(text, at);
    append_case(out, c, within ? Case::lower : Case::upper);
    within =
        !is_space(c) && (c >= 0x80 || kBreaks.find(static_cast<char>(c)) == std::string_view::npos);
  }
  return out;
}

std::string replace(std::string_view text, std::string_view from, std::string_view to,
                    int64_t most) {
  if (from.empty()) fail("replace: of an empty string is not supported");
  std::string out;
  for (; most != 0; --most) {
    const size_t at = text.find(from);
    if (at == std::string_view::npos) break;
    out.append(text.substr(0, at)).append(to);
    text.remove_prefix(at + from.size());
    if (out.size() > Heap::kMostBytes) fail("replace: makes more than {} bytes", Heap::kMostBytes);
  }
  return out.append(text);
}

std::vector<std::string_view> split(std::string_view text, std::optional<std::string_view> by,
                                    int64_t most) {
  std::vector<std::string_view> parts;
  if (by) {
    if (by->empty()) fail("split: an empty separator");
    for (; most != 0; --most) {
      const size_t at = text.find(*by);
      if (at == std::string_view::npos) break;
      parts.push_back(text.substr(0, at));
      text.remove_prefix(at + by->size());
    }
    parts.push_back(text);
    return parts;
  }
  for (text = strip_left(text); !text.empty() && most != 0; --most) {
    size_t end = 0;
    for (size_t at = 0; at < text.size() && !is_space(next_character(text, at));) end = at;
    parts.push_back(text.substr(0, end));
    text = strip_left(text.substr(end));
  }
  if (!text.empty()) parts.push_back(text);
  return parts;
}

std::vector<std::string_view> split_lines(std::string_view text) {
  const auto ends_line = [](char32_t c) {
    return (c >= '\n' && c <= '\r') || (c >= 0x1c && c <= 0x1e) || c == 0x85 || c == 0x2028 ||
           c == 0x2029;
  };
  std::vector<std::string_view> lines;
  size_t begin = 0;
  for (size_t at = 0; at < text.size();) {
    const size_t end = at;
    const char32_t c = next_character(text, at);
    if (!ends_line(c)) continue;
    lines.push_back(text.substr(begin, end - begin));
    if (c == '\r' && at < text.size() && text[at] == '\n') ++at;
    begin = at;
  }
  if (begin < text.size()) lines.push_back(text.substr(begin));
  return lines;
}

std::string python_quoted(std::string_view text) {
  const bool single = text.find('\'') == std::string_view::npos;
  const char quote = !single && text.find('"') == std::string_view::npos ? '"' : '\'';
  std::string out(1, quote);
  for (size_t at = 0; at < text.size();) {
    const char32_t c = next_character(text, at);
    if (c == static_cast<char32_t>(quote) || c == '\\')
      out += '\\', out += static_cast<char>(c);
    else if (c == '\n')
      out += "\\n";
    else if (c == '\r')
      out += "\\r";
    else if (c == '\t')
      out += "\\t";
    else if (is_printable(c))
      append_utf8(out, c);
    else
      out += escape_of(c);
  }
  return out + quote;
}

std::string json_quoted(std::string_view text, bool ascii) {
  constexpr std::string_view kEscaped = "\"\\\n\r\t\f\b", kNames = "\"\\nrtfb";
  std::string out = "\"";
  for (size_t at = 0; at < text.size();) {
    const char32_t c = next_character(text, at);
    const size_t escape = c < 0x80 ? kEscaped.find(static_cast<char>(c)) : std::string_view::npos;
    if (escape != std::string_view::npos)
      out += '\\', out += kNames[escape];
    else if (c < 0x20 || (ascii && c >= 0x7f))
      out += json_escape_of(c);
    else
      append_utf8(out, c);
  }
  return out + "\"";
}

}  // namespace halftone::jinja
