// POSIX.1-2017, Shell Command Language, 2.2 "Quoting".
#include "base/shell_quote.h"

#include <algorithm>

namespace halftone {
namespace {

// Beyond ASCII every byte stands for itself.
bool means_nothing(char c) {
  constexpr std::string_view kPlain = "_-./:,+@%=";
  return static_cast<unsigned char>(c) >= 0x80 || (c >= '0' && c <= '9') ||
         (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
         kPlain.find(c) != std::string_view::npos;
}

}  // namespace

std::string shell_quoted(std::string_view word) {
  if (!word.empty() && std::ranges::all_of(word, means_nothing)) return std::string(word);
  std::string quoted = "'";
  for (const char c : word) quoted += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return quoted + "'";
}

}  // namespace halftone
