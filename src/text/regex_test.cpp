#include "text/regex.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"

namespace halftone {
namespace {

using ::testing::ElementsAre;

std::vector<std::string> matches(const std::string& pattern, const std::string& text) {
  const Regex regex(pattern, "test");
  std::vector<Span> spans;
  RegexMatcher(regex).find_all(text, spans);
  std::vector<std::string> found;
  for (const Span& span : spans) found.push_back(text.substr(span.begin, span.end - span.begin));
  return found;
}

TEST(Regex, WorkedExample) {
  // GPT-2's pattern.
  EXPECT_THAT(
      matches(R"('s|'t| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)", "It's 12  o\u00e9!"),
      ElementsAre("It", "'s", " 12", " ", " o\u00e9", "!"));
}

TEST(Regex, ReadsOnigurumasSyntax) {
  EXPECT_THAT(matches(R"(\s+)", "a\u180eb\u3000c"), ElementsAre("\u3000"));  // U+180E is none
  EXPECT_THAT(matches(R"([^\S\n]+)", "a \n\tb"), ElementsAre(" ", "\t"));
  EXPECT_THAT(matches(R"(\d{1,2}+)", "12345"), ElementsAre("12345"));  // repeats: not possessive
  EXPECT_THAT(matches(R"(a{2}?)", "aaa"), ElementsAre("aa", ""));      // an option: greedy
  EXPECT_THAT(matches(R"(a{,2})", "aaa"), ElementsAre("aa", "a"));
  EXPECT_THAT(matches(R"(x{a})", "x{a}"), ElementsAre("x{a}"));
  EXPECT_THAT(matches(R"(a(?m:.)b)", "a\nb"), ElementsAre("a\nb"));
  EXPECT_THAT(matches(R"(a.b)", "a\nb"), ElementsAre());
  EXPECT_THAT(matches(R"(^b|a$)", "a\nb"), ElementsAre("a", "b"));
  EXPECT_THAT(matches(R"(\h+)", "xbeefg"), ElementsAre("beef"));
  EXPECT_THAT(matches(R"(\u0041|\x{42})", "AB"), ElementsAre("A", "B"));
  EXPECT_THAT(matches(R"((?i:'S))", "x'\u017f's"), ElementsAre("'\u017f", "'s"));
  EXPECT_THAT(matches(R"(\w+)", "\u00bd\u2154\u24b6"), ElementsAre("\u00bd", "\u24b6"));
  EXPECT_THAT(matches(R"(\bx)", "x ax \u0301x"), ElementsAre("x"));
  EXPECT_THAT(matches(R"([[:alpha:]]+|\p{^L})", "a\u6f22 1"), ElementsAre("a\u6f22", " ", "1"));
}

TEST(Regex, LeavesOutEmptyMatchesBehindAMatch) {
  const Regex regex("x*", "test");
  std::vector<Span> spans;
  RegexMatcher(regex).find_all("a\u00e9xx", spans);
  std::vector<std::pair<size_t, size_t>> found;
  for (const Span& span : spans) found.emplace_back(span.begin, span.end);
  EXPECT_THAT(found, ElementsAre(std::pair(0u, 0u), std::pair(1u, 1u), std::pair(3u, 5u)));
}

TEST(Regex, RefusesWhatItCannotRead) {
  for (const char* pattern : {"(a", "a)", "[a", R"([a&&b])", R"([a[b]])", R"(\Ka)", R"(\R)",
                              "(?x: a)", R"(\p{Klingon})", R"(\)", "\xff"}) {
    EXPECT_THROW(Regex(pattern, "test"), Error) << pattern;
  }
}

TEST(Regex, EndsRunawayMatches) {
  const std::string text(60, 'a');
  try {
    matches("(?:a+)+b|(?:a|a)*c", text);  // tries every way to part the run
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.exit(), Exit::bad_input);
  }
}

}  // namespace
}  // namespace halftone
