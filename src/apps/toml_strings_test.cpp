#include "apps/toml_strings.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"

namespace halftone {
namespace {

using ::testing::ElementsAre;

TEST(TomlStrings, WorkedExample) {
  EXPECT_EQ(toml_quoted("a b"), "\"a b\"");
  EXPECT_EQ(toml_quoted("it's"), "\"it's\"");
  EXPECT_EQ(toml_quoted(R"(layers\.0\.)"), R"('layers\.0\.')");
  EXPECT_EQ(toml_list({"a", R"(b\c)"}), R"(["a", 'b\c'])");
}

TEST(TomlStrings, AreReadBack) {
  const std::vector<std::string> texts = {"a, b",        "it's", R"(\d+)",
                                          R"(say "no")", "[x]",  R"(it's\)"};
  EXPECT_EQ(read_toml_strings(toml_list(texts), "x"), texts);
  EXPECT_THAT(read_toml_strings("\"one\"", "x"), ElementsAre("one"));
  EXPECT_TRUE(read_toml_strings("[]", "x").empty());
  EXPECT_THAT(read_toml_strings("[by/hand.txt, 'b']", "x"), ElementsAre("by/hand.txt", "b"));
  EXPECT_THROW(read_toml_strings("[\"a]", "x"), Error);
}

}  // namespace
}  // namespace halftone
