#include "base/shell_quote.h"

#include <gtest/gtest.h>

#include <cstdio>

namespace halftone {
namespace {

// What a shell hands to a program as its argument.
std::string as_seen_by_a_program(const std::string& quoted) {
  FILE* pipe = ::popen(("printf %s " + quoted).c_str(), "r");
  std::string text;
  for (int c = std::fgetc(pipe); c != EOF; c = std::fgetc(pipe)) text += static_cast<char>(c);
  ::pclose(pipe);
  return text;
}

TEST(ShellQuote, WorkedExample) {
  EXPECT_EQ(shell_quoted("out/qwen-7b-4bit"), "out/qwen-7b-4bit");
  EXPECT_EQ(shell_quoted("my models/a"), "'my models/a'");
  EXPECT_EQ(shell_quoted("it's"), R"('it'\''s')");
  EXPECT_EQ(shell_quoted(""), "''");
}

TEST(ShellQuote, AShellTakesItBack) {
  for (const char* word :
       {"a b", "it's", "$HOME", "`id`", "a\\b", "\"q\"", "~", "*", "a;b", "a&b", "(x)", "#", "!x",
        "{\"down_proj\": {\"bits\": 8}}", "two\nlines", "tab\there", "größe", "a=b", "x,y@1%+z"})
    EXPECT_EQ(as_seen_by_a_program(shell_quoted(word)), word) << shell_quoted(word);
}

}  // namespace
}  // namespace halftone
