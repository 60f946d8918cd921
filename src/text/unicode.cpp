// See unicode.h. The two tables of exceptions were found by asking the `tokenizers` library about
// every code point and comparing with utf8proc (Unicode 15).
#include "text/unicode.h"

#include <utf8proc.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <cstring>
#include <iterator>
#include <new>

#include "base/error.h"

namespace halftone {
namespace {

struct Range {
  char32_t first, last;
};

template <size_t count>
bool contains(const std::array<Range, count>& ranges, char32_t character) {
  const auto after =
      std::upper_bound(ranges.begin(), ranges.end(), character,
                       [](char32_t value, const Range& range) { return value < range.first; });
  return after != ranges.begin() && character <= std::prev(after)->last;
}

// Characters that decompose, compose or reorder in newer Unicode only: starters that stay as they
// are for the library. (U+0340, 0341, 0343, 0344 are left out: only their order of work differs.)
constexpr std::array<Range, 46> kInert{
    {{0x7fd, 0x7fd},     {0x898, 0x89f},     {0x8ca, 0x8d3},     {0x9fe, 0x9fe},
     {0xc3c, 0xc3c},     {0xd3b, 0xd3c},     {0xeba, 0xeba},     {0x1715, 0x1715},
     {0x1abf, 0x1ace},   {0x1df6, 0x1dfa},   {0x32ff, 0x32ff},   {0xa7f2, 0xa7f4},
     {0xa82c, 0xa82c},   {0xab69, 0xab69},   {0x10781, 0x10785}, {0x10787, 0x107b0},
     {0x107b2, 0x107ba}, {0x10d24, 0x10d27}, {0x10eab, 0x10eac}, {0x10efd, 0x10eff},
     {0x10f46, 0x10f50}, {0x10f82, 0x10f85}, {0x11070, 0x11070}, {0x1133b, 0x1133b},
     {0x1145e, 0x1145e}, {0x11839, 0x1183a}, {0x11938, 0x11938}, {0x1193d, 0x1193e},
     {0x11943, 0x11943}, {0x119e0, 0x119e0}, {0x11a34, 0x11a34}, {0x11a47, 0x11a47},
     {0x11a99, 0x11a99}, {0x11d42, 0x11d42}, {0x11d44, 0x11d45}, {0x11d97, 0x11d97},
     {0x11f41, 0x11f42}, {0x16ff0, 0x16ff1}, {0x1e030, 0x1e06d}, {0x1e08f, 0x1e08f},
     {0x1e130, 0x1e136}, {0x1e2ae, 0x1e2ae}, {0x1e2ec, 0x1e2ef}, {0x1e4ec, 0x1e4ef},
     {0x1f16c, 0x1f16c}, {0x1fbf0, 0x1fbf9}}};

// Where the library's punctuation is the opposite of today's.
constexpr std::array<Range, 34> kPunctuationFlipped{
    {{0x61d, 0x61d},     {0x9fd, 0x9fd},     {0xa76, 0xa76},     {0xc77, 0xc77},
     {0xc84, 0xc84},     {0x166d, 0x166d},   {0x1b7d, 0x1b7e},   {0x2e43, 0x2e4f},
     {0x2e52, 0x2e5d},   {0x10ead, 0x10ead}, {0x10f55, 0x10f59}, {0x10f86, 0x10f89},
     {0x111c9, 0x111c9}, {0x1144b, 0x1144f}, {0x1145a, 0x1145b}, {0x1145d, 0x1145d},
     {0x11660, 0x1166c}, {0x116b9, 0x116b9}, {0x1183b, 0x1183b}, {0x11944, 0x11946},
     {0x119e2, 0x119e2}, {0x11a3f, 0x11a46}, {0x11a9a, 0x11a9c}, {0x11a9e, 0x11aa2},
     {0x11b00, 0x11b09}, {0x11c41, 0x11c45}, {0x11c70, 0x11c71}, {0x11ef7, 0x11ef8},
     {0x11f43, 0x11f4f}, {0x11fff, 0x11fff}, {0x12ff1, 0x12ff2}, {0x16e97, 0x16e9a},
     {0x16fe2, 0x16fe2}, {0x1e95e, 0x1e95f}}};

utf8proc_category_t category(char32_t character) {
  return utf8proc_category(static_cast<utf8proc_int32_t>(character));
}

enum class Utf8 { whole, broken, cut_off };
struct Utf8Step {
  Utf8 state;
  size_t length;  // of the character, of the ill-formed part, or of what there is of the character
};

// Classifies what stands at the front of `bytes` (not empty) by Unicode's table 3-7.
Utf8Step utf8_step(std::string_view bytes) {
  const auto at = [&](size_t i) { return static_cast<unsigned char>(bytes[i]); };
  const unsigned lead = at(0);
  if (lead < 0x80) return {Utf8::whole, 1};
  if (lead < 0xc2 || lead > 0xf4) return {Utf8::broken, 1};
  const size_t length = utf8_length(bytes[0]);
  unsigned least = 0x80, most = 0xbf;
  if (lead == 0xe0) least = 0xa0;
  if (lead == 0xed) most = 0x9f;
  if (lead == 0xf0) least = 0x90;
  if (lead == 0xf4) most = 0x8f;
  for (size_t i = 1; i < length; ++i) {
    if (i == bytes.size()) return {Utf8::cut_off, i};
    if (at(i) < least || at(i) > most) return {Utf8::broken, i};
    least = 0x80, most = 0xbf;
  }
  return {Utf8::whole, length};
}

void append_normalized(std::string_view text, NormalForm form, std::string& out) {
  if (text.empty()) return;
  int options = UTF8PROC_STABLE;
  const bool composes = form == NormalForm::nfc || form == NormalForm::nfkc;
  options |= composes ? UTF8PROC_COMPOSE : UTF8PROC_DECOMPOSE;
  if (form == NormalForm::nfkc || form == NormalForm::nfkd) options |= UTF8PROC_COMPAT;
  utf8proc_uint8_t* mapped = nullptr;
  const utf8proc_ssize_t size = utf8proc_map(reinterpret_cast<const utf8proc_uint8_t*>(text.data()),
                                             static_cast<utf8proc_ssize_t>(text.size()), &mapped,
                                             static_cast<utf8proc_option_t>(options));
  if (size == UTF8PROC_ERROR_NOMEM) throw std::bad_alloc();
  if (size < 0) throw internal_error("normalization: {}", utf8proc_errmsg(size));
  const size_t begin = out.size();
  out.append(reinterpret_cast<const char*>(mapped), static_cast<size_t>(size));
  std::free(mapped);  // allocated by utf8proc
  // The one composition that the library does not know (Unicode 13).
  constexpr std::string_view kComposed = "\U00011938", kParts = "\U00011935\U00011930";
  for (size_t at = out.find(kComposed, begin); at != std::string::npos;
       at = out.find(kComposed, at + kParts.size())) {
    out.replace(at, kComposed.size(), kParts);
  }
}

struct ByteAlphabet {
  std::array<char32_t, 256> character{};
  std::array<int16_t, 324> byte{};
  constexpr ByteAlphabet() {
    for (auto& value : byte) value = -1;
    char32_t unprintable = 256;
    for (unsigned i = 0; i < 256; ++i) {
      const bool printable = (i >= '!' && i <= '~') || (i >= 0xa1 && i <= 0xff && i != 0xad);
      character[i] = printable ? i : unprintable++;
      byte[character[i]] = static_cast<int16_t>(i);
    }
  }
};
constexpr ByteAlphabet kAlphabet;

}  // namespace

char32_t next_character(std::string_view text, size_t& at) {
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(text[at + i]); };
  const size_t length = utf8_length(text[at]);
  char32_t value = byte(0);
  if (length == 2) {
    value = (value & 0x1f) << 6 | (byte(1) & 0x3fu);
  } else if (length == 3) {
    value = (value & 0x0f) << 12 | (byte(1) & 0x3fu) << 6 | (byte(2) & 0x3fu);
  } else if (length == 4) {
    value =
        (value & 0x07) << 18 | (byte(1) & 0x3fu) << 12 | (byte(2) & 0x3fu) << 6 | (byte(3) & 0x3fu);
  }
  at += length;
  return value;
}

void append_utf8(std::string& text, char32_t character) {
  if (character < 0x80) {
    text += static_cast<char>(character);
  } else if (character < 0x800) {
    text += static_cast<char>(0xc0 | character >> 6);
    text += static_cast<char>(0x80 | (character & 0x3f));
  } else if (character < 0x10000) {
    text += static_cast<char>(0xe0 | character >> 12);
    text += static_cast<char>(0x80 | (character >> 6 & 0x3f));
    text += static_cast<char>(0x80 | (character & 0x3f));
  } else {
    text += static_cast<char>(0xf0 | character >> 18);
    text += static_cast<char>(0x80 | (character >> 12 & 0x3f));
    text += static_cast<char>(0x80 | (character >> 6 & 0x3f));
    text += static_cast<char>(0x80 | (character & 0x3f));
  }
}

std::string to_utf8(char32_t character) {
  std::string text;
  append_utf8(text, character);
  return text;
}

std::optional<size_t> find_invalid_utf8(std::string_view bytes) {
  size_t at = 0;
  while (at < bytes.size()) {
    // Eight ASCII bytes at a time.
    uint64_t eight;
    while (at + 8 <= bytes.size()) {
      std::memcpy(&eight, bytes.data() + at, 8);
      if (eight & 0x8080808080808080u) break;
      at += 8;
    }
    if (at == bytes.size()) break;
    const Utf8Step step = utf8_step(bytes.substr(at));
    if (step.state != Utf8::whole) return at;
    at += step.length;
  }
  return std::nullopt;
}

std::string replace_invalid_utf8(std::string_view bytes) {
  std::string text;
  text.reserve(bytes.size());
  while (const auto invalid = find_invalid_utf8(bytes)) {
    text.append(bytes.substr(0, *invalid)).append(kReplacement);
    bytes.remove_prefix(*invalid);
    bytes.remove_prefix(utf8_step(bytes).length);
  }
  return text.append(bytes);
}

void take_utf8(std::string& held, std::string& out) {
  std::string_view rest = held;
  while (!rest.empty()) {
    const Utf8Step step = utf8_step(rest);
    if (step.state == Utf8::cut_off) break;
    out.append(step.state == Utf8::whole ? rest.substr(0, step.length) : kReplacement);
    rest.remove_prefix(step.length);
  }
  held.erase(0, held.size() - rest.size());
}

bool is_white_space(char32_t character) {
  if (character < 0x80) return character == ' ' || (character >= '\t' && character <= '\r');
  return character == 0x85 || character == 0xa0 || character == 0x1680 ||
         (character >= 0x2000 && character <= 0x200a) || character == 0x2028 ||
         character == 0x2029 || character == 0x202f || character == 0x205f || character == 0x3000;
}

bool is_number(char32_t character) {
  if (character < 0x80) return character >= '0' && character <= '9';
  const auto kind = category(character);
  return kind == UTF8PROC_CATEGORY_ND || kind == UTF8PROC_CATEGORY_NL ||
         kind == UTF8PROC_CATEGORY_NO;
}

bool is_punctuation(char32_t character) {
  if (character < 0x80) {
    return (character >= '!' && character <= '/') || (character >= ':' && character <= '@') ||
           (character >= '[' && character <= '`') || (character >= '{' && character <= '~');
  }
  const auto kind = category(character);
  const bool today = kind >= UTF8PROC_CATEGORY_PC && kind <= UTF8PROC_CATEGORY_PO;
  return today != contains(kPunctuationFlipped, character);
}

bool is_word(char32_t character) {
  const auto kind = category(character);
  if (kind >= UTF8PROC_CATEGORY_LU && kind <= UTF8PROC_CATEGORY_NL) return true;  // L, M, Nd, Nl
  if (kind == UTF8PROC_CATEGORY_PC || character == 0x200c || character == 0x200d) return true;
  // Symbols that are Alphabetic: circled and squared letters.
  return (character >= 0x24b6 && character <= 0x24e9) ||
         (character >= 0x1f130 && character <= 0x1f149) ||
         (character >= 0x1f150 && character <= 0x1f169) ||
         (character >= 0x1f170 && character <= 0x1f189);
}

void append_lowercase(std::string& text, char32_t character) {
  if (character == 0x130) {  // the one character whose lower case is two
    text += "i\u0307";
    return;
  }
  append_utf8(text,
              static_cast<char32_t>(utf8proc_tolower(static_cast<utf8proc_int32_t>(character))));
}

std::string normalize(std::string_view text, NormalForm form) {
  // Nothing below U+0300 changes in NFC, nothing in ASCII in any form.
  const unsigned char limit = form == NormalForm::nfc ? 0xcc : 0x80;
  const auto changes = [&](char byte) { return static_cast<unsigned char>(byte) >= limit; };
  if (std::none_of(text.begin(), text.end(), changes)) return std::string(text);
  std::string out;
  out.reserve(text.size());
  size_t begin = 0;
  for (size_t at = 0; at < text.size();) {
    const size_t here = at;
    const char32_t character = next_character(text, at);
    if (character < 0x7fd || !contains(kInert, character)) continue;
    // An inert starter parts the text: nothing composes or reorders across it.
    append_normalized(text.substr(begin, here - begin), form, out);
    append_utf8(out, character);
    begin = at;
  }
  append_normalized(text.substr(begin), form, out);
  return out;
}

char32_t byte_to_character(uint8_t byte) { return kAlphabet.character[byte]; }

std::optional<uint8_t> character_to_byte(char32_t character) {
  if (character >= kAlphabet.byte.size() || kAlphabet.byte[character] < 0) return std::nullopt;
  return static_cast<uint8_t>(kAlphabet.byte[character]);
}

}  // namespace halftone
