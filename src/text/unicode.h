// UTF-8, character classes and normal forms, as the `tokenizers` library sees them: white space,
// numbers and lower case from Unicode 14 and later; punctuation from Unicode 8 and normal forms
// from Unicode 9, because that is what the library's tables hold and ids must be identical.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace halftone {

inline constexpr std::string_view kReplacement = "\xef\xbf\xbd";  // U+FFFD

// The character at text[at], and `at` behind it. `text` must be well-formed UTF-8.
char32_t next_character(std::string_view text, size_t& at);
// Bytes of the character that starts with this byte, in well-formed UTF-8.
constexpr size_t utf8_length(char lead) {
  const auto byte = static_cast<unsigned char>(lead);
  return byte < 0x80 ? 1 : byte < 0xe0 ? 2 : byte < 0xf0 ? 3 : 4;
}
void append_utf8(std::string& text, char32_t character);
std::string to_utf8(char32_t character);

// Offset of the first byte that is not part of well-formed UTF-8; nothing when all is well.
std::optional<size_t> find_invalid_utf8(std::string_view bytes);
// Each maximal ill-formed part becomes one U+FFFD: Python's errors="replace", Unicode's §3.9.
std::string replace_invalid_utf8(std::string_view bytes);
// The same for bytes that come bit by bit: appends to `out` what is decided, leaves in `held` the
// bytes of a character that may still become whole.
void take_utf8(std::string& held, std::string& out);

bool is_white_space(char32_t character);  // property White_Space
bool is_number(char32_t character);       // categories Nd, Nl, No
bool is_punctuation(char32_t character);  // category P, and ASCII's symbols
bool is_word(char32_t character);         // \w: Alphabetic, M, Nd, Pc, joiners
void append_lowercase(std::string& text, char32_t character);

enum class NormalForm { nfc, nfd, nfkc, nfkd };
std::string normalize(std::string_view text, NormalForm form);

// GPT-2's printable alphabet: every byte as one character ("Ġ" for the space).
char32_t byte_to_character(uint8_t byte);
std::optional<uint8_t> character_to_byte(char32_t character);

}  // namespace halftone
