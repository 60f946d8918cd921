// Which regular expressions of tokenizers are known to stop behind a letter.
#pragma once

#include <cstdint>
#include <string_view>

namespace halftone {

enum class KnownPattern : uint8_t {
  letters,     // every letter lies in some match
  no_letters,  // letters may lie in none
  other        // not known
};

// Of an expression whose alternatives are all in a list, and of each of which holds:
// - it looks behind nowhere, and ahead only behind white space;
// - a match with a letter in it holds neither white space nor punctuation behind that letter;
// - what it matches up to a letter is the same when the text ends there as when white space,
//   punctuation or U+2581 follows.
KnownPattern known_pattern(std::string_view expression);

}  // namespace halftone
