// Text of a file as an error may show it.
#pragma once

#include <string>
#include <string_view>

namespace halftone {

// On one line, without control characters, cut to `most` bytes: names in hostile files are neither.
inline std::string printable(std::string_view text, size_t most = 120) {
  std::string shown(text.substr(0, most));
  for (char& character : shown)
    if (static_cast<unsigned char>(character) < 0x20 || character == 0x7f) character = '?';
  if (text.size() > most) shown += "...";
  return shown;
}

}  // namespace halftone
