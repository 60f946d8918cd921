#include "apps/doctor_finding.h"

#include <algorithm>

namespace halftone {
namespace {

constexpr size_t kColumns = 80;

size_t width_of(std::string_view text) {
  return static_cast<size_t>(std::count_if(
      text.begin(), text.end(), [](char c) { return (static_cast<unsigned char>(c) >> 6) != 2; }));
}

}  // namespace

std::string padded(std::string_view text, size_t columns) {
  const size_t width = width_of(text);
  return std::string(text) + std::string(std::max(columns, width + 1) - width, ' ');
}

std::string wrapped(std::string_view lead, std::string_view text) {
  const size_t indent = width_of(lead);
  std::string lines(lead);
  size_t column = indent;
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = std::min(text.find(' ', begin), text.size());
    const std::string_view word = text.substr(begin, end - begin);
    if (column > indent && column + 1 + width_of(word) > kColumns) {
      lines += "\n" + std::string(indent, ' ');
      column = indent;
    }
    if (column > indent) lines += ' ', ++column;
    lines += word;
    column += width_of(word);
    begin = end + 1;
  }
  return lines + "\n";
}

}  // namespace halftone
