// What halftone doctor says of one thing.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace halftone {

enum class Health : uint8_t {
  good,
  note,    // works, and is to be known
  broken,  // computes wrong values, or cannot be used
};

struct Finding {
  Health health = Health::good;
  std::string subject;    // "zero points"
  std::string text;       // one sentence or two
  std::string hint = {};  // what to do
};

// Lines of at most 80 columns: `lead` and then `text`, wrapped between words; what follows stands
// under the text's beginning.
std::string wrapped(std::string_view lead, std::string_view text);
// `text` filled with blanks to `columns`, counted in characters of UTF-8, and at least one.
std::string padded(std::string_view text, size_t columns);

}  // namespace halftone
