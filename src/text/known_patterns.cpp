// See known_patterns.h. The alternatives of GPT-2, Llama 3, Qwen2, Qwen3.5, Tekken, GPT-4o, and of
// llama.cpp's default.
#include "text/known_patterns.h"

#include <algorithm>
#include <vector>

namespace halftone {
namespace {

enum Letters : unsigned { kNone = 0, kLower = 1, kUpper = 2, kAll = 3 };  // that it always matches

struct Alternative {
  std::string_view text;
  Letters letters;
};

constexpr Alternative kAlternatives[] = {
    {R"('s)", kNone},
    {R"('t)", kNone},
    {R"('re)", kNone},
    {R"('ve)", kNone},
    {R"('m)", kNone},
    {R"('ll)", kNone},
    {R"('d)", kNone},
    {R"((?i:'s|'t|'re|'ve|'m|'ll|'d))", kNone},
    {R"('(?i:[sdmt]|ll|ve|re))", kNone},
    {R"( ?\p{L}+)", kAll},
    {R"([^\r\n\p{L}\p{N}]?\p{L}+)", kAll},
    {R"([^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+)", kAll},
    {R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+)", kLower},
    {R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*)", kUpper},
    {R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+)"
     R"((?i:'s|'t|'re|'ve|'m|'ll|'d)?)",
     kLower},
    {R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*)"
     R"((?i:'s|'t|'re|'ve|'m|'ll|'d)?)",
     kUpper},
    {R"(\p{N})", kNone},
    {R"(\p{N}+)", kNone},
    {R"(\p{N}{1,3})", kNone},
    {R"( ?\p{N}+)", kNone},
    {R"([0-9][0-9][0-9])", kNone},
    {R"([\p{P}\$\+<=>\^~\|]+)", kNone},
    {R"( ?[^\s\p{L}\p{N}]+)", kNone},
    {R"( ?[^\s\p{L}\p{N}]+[\r\n]*)", kNone},
    {R"( ?[^\s\p{L}\p{N}]+[\r\n/]*)", kNone},
    {R"( ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*)", kNone},
    {R"(\s*[\r\n]+)", kNone},
    {R"(\s+(?!\S))", kNone},
    {R"(\s+)", kNone},
};

// The alternatives, by the bars that stand in no group and no class.
std::vector<std::string_view> split(std::string_view expression) {
  std::vector<std::string_view> parts;
  size_t begin = 0;
  int groups = 0;
  bool in_class = false;
  for (size_t at = 0; at < expression.size(); ++at) {
    const char c = expression[at];
    if (c == '\\') {
      ++at;
    } else if (in_class) {
      in_class = c != ']';
    } else if (c == '[') {
      in_class = true;
    } else if (c == '(' || c == ')') {
      groups += c == '(' ? 1 : -1;
    } else if (c == '|' && groups == 0) {
      parts.push_back(expression.substr(begin, at - begin));
      begin = at + 1;
    }
  }
  parts.push_back(expression.substr(begin));
  return parts;
}

}  // namespace

KnownPattern known_pattern(std::string_view expression) {
  unsigned letters = kNone;
  for (const std::string_view part : split(expression)) {
    const auto known = std::find_if(std::begin(kAlternatives), std::end(kAlternatives),
                                    [part](const Alternative& each) { return each.text == part; });
    if (known == std::end(kAlternatives)) return KnownPattern::other;
    letters |= known->letters;
  }
  return letters == kAll ? KnownPattern::letters : KnownPattern::no_letters;
}

}  // namespace halftone
