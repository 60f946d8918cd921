#include "text/unicode.h"

#include <gtest/gtest.h>

namespace halftone {
namespace {

TEST(Unicode, ReplacesWhatIsBrokenAsPythonDoes) {
  // bytes.decode("utf-8", "replace"), Python 3.11.
  EXPECT_EQ(replace_invalid_utf8("h\xc3\xa9llo"), "h\u00e9llo");
  EXPECT_EQ(replace_invalid_utf8("\xff"), "\ufffd");
  EXPECT_EQ(replace_invalid_utf8("a\xe2\x82"), "a\ufffd");
  EXPECT_EQ(replace_invalid_utf8("\xe2\x82z"), "\ufffdz");
  EXPECT_EQ(replace_invalid_utf8("\xed\xa0\x80"), "\ufffd\ufffd\ufffd");
  EXPECT_EQ(replace_invalid_utf8("\xf0\x9f\x98"), "\ufffd");
  EXPECT_EQ(replace_invalid_utf8("\xf0\x80\x80\x80"), "\ufffd\ufffd\ufffd\ufffd");
  EXPECT_EQ(replace_invalid_utf8("\xc0\xaf"), "\ufffd\ufffd");
  EXPECT_EQ(replace_invalid_utf8("\xf4\x90\x80\x80"), "\ufffd\ufffd\ufffd\ufffd");
  EXPECT_EQ(replace_invalid_utf8("12345678\x80"
                                 "1234567890"),
            "12345678\ufffd1234567890");
  EXPECT_EQ(find_invalid_utf8("12345678abc\x80"), 11u);
  EXPECT_EQ(find_invalid_utf8("\U0001f600 caf\u00e9"), std::nullopt);
}

TEST(Unicode, TakesBytesAsTheyCome) {
  std::string held, out;
  for (const char byte : std::string("a\xf0\x9f\x98\x80\xe2\x82")) {
    held += byte;
    take_utf8(held, out);
  }
  EXPECT_EQ(out, "a\U0001f600");
  EXPECT_EQ(held, "\xe2\x82");
  held += 'z';
  take_utf8(held, out);
  EXPECT_EQ(out, "a\U0001f600\ufffdz");
  EXPECT_EQ(held, "");
}

TEST(Unicode, RoundTripsEveryCharacter) {
  for (char32_t character = 0; character <= 0x10ffff; ++character) {
    if (character == 0xd800) character = 0xe000;
    const std::string text = to_utf8(character);
    size_t at = 0;
    ASSERT_EQ(next_character(text, at), character);
    ASSERT_EQ(at, text.size());
    ASSERT_EQ(find_invalid_utf8(text), std::nullopt)
        << std::hex << static_cast<uint32_t>(character);
  }
}

TEST(Unicode, Classes) {
  for (const char32_t space : {0x9, 0xd, 0x20, 0x85, 0xa0, 0x1680, 0x2003, 0x2028, 0x3000}) {
    EXPECT_TRUE(is_white_space(space)) << static_cast<uint32_t>(space);
  }
  for (const char32_t other : {0x1c, 0x180e, 0x200b, 0xfeff, 0x61})
    EXPECT_FALSE(is_white_space(other));
  for (const char32_t number : {0x30, 0x661, 0xbd, 0x2167}) EXPECT_TRUE(is_number(number));
  EXPECT_FALSE(is_number(0x4e00));  // 一: a letter
  for (const char32_t mark : {0x21, 0x24, 0x7e, 0x3002, 0x166d}) EXPECT_TRUE(is_punctuation(mark));
  for (const char32_t other : {0x20ac, 0x61d, 0x61}) EXPECT_FALSE(is_punctuation(other));
  for (const char32_t word : {0x61, 0x5f, 0x301, 0x2167, 0x24b6, 0x200d})
    EXPECT_TRUE(is_word(word));
  for (const char32_t other : {0x20, 0xbd, 0x2e}) EXPECT_FALSE(is_word(other));
}

TEST(Unicode, NormalForms) {
  EXPECT_EQ(normalize("e\u0301 \u212b", NormalForm::nfc), "\u00e9 \u00c5");
  EXPECT_EQ(normalize("\u00e9", NormalForm::nfd), "e\u0301");
  EXPECT_EQ(normalize("\ufb01\u00bd", NormalForm::nfkc), "fi1\u20442");
  EXPECT_EQ(normalize("\u1e9b\u0323", NormalForm::nfkd), "s\u0323\u0307");
  EXPECT_EQ(normalize("a\u0301\u0334", NormalForm::nfd), "a\u0334\u0301");  // by combining class
  // Newer than the library's tables: U+32FF (12.1) keeps its form, U+0898 (14) its place,
  // and U+11938 (13) is not composed.
  EXPECT_EQ(normalize("\u32ff", NormalForm::nfkc), "\u32ff");
  EXPECT_EQ(normalize("a\u0898\u0334", NormalForm::nfd), "a\u0898\u0334");
  EXPECT_EQ(normalize("\U00011935\U00011930", NormalForm::nfc), "\U00011935\U00011930");
  EXPECT_EQ(normalize("", NormalForm::nfc), "");
}

TEST(Unicode, LowerCase) {
  const auto lower = [](char32_t character) {
    std::string text;
    append_lowercase(text, character);
    return text;
  };
  EXPECT_EQ(lower('A'), "a");
  EXPECT_EQ(lower(0x3a3), "\u03c3");  // Σ, never final
  EXPECT_EQ(lower(0x130), "i\u0307");
  EXPECT_EQ(lower(0x1e9e), "\u00df");
}

TEST(Unicode, ByteAlphabet) {
  EXPECT_EQ(byte_to_character(' '), U'\u0120');  // Ġ
  EXPECT_EQ(byte_to_character('\n'), U'\u010a');
  EXPECT_EQ(byte_to_character('a'), U'a');
  for (unsigned byte = 0; byte < 256; ++byte) {
    EXPECT_EQ(character_to_byte(byte_to_character(static_cast<uint8_t>(byte))), byte);
  }
  EXPECT_EQ(character_to_byte(U' '), std::nullopt);
  EXPECT_EQ(character_to_byte(0x144), std::nullopt);
}

}  // namespace
}  // namespace halftone
