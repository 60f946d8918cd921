// --skip's regular expressions over module names.
#include "apps/name_filter.h"

#include <gmock/gmock.h>

#include "base/error.h"

namespace halftone {
namespace {

using ::testing::HasSubstr;

TEST(NameFilter, TheFirstPatternThatIsFoundAnywhereInTheName) {
  NameFilter filter({"q_proj$", "layers\\.1\\.", "q_"}, "--skip");
  EXPECT_EQ(*filter.match("model.layers.0.self_attn.q_proj"), "q_proj$");
  EXPECT_EQ(*filter.match("model.layers.1.mlp.up_proj"), "layers\\.1\\.");
  EXPECT_EQ(*filter.match("model.layers.0.q_proj.x"), "q_");
  EXPECT_EQ(filter.match("model.layers.11.mlp.up_proj"), nullptr);  // the point is a point
  EXPECT_EQ(filter.match(""), nullptr);
}

TEST(NameFilter, WithoutPatternsNothingMatches) {
  NameFilter filter({}, "--skip");
  EXPECT_EQ(filter.match("model.layers.0.mlp.up_proj"), nullptr);
  EXPECT_NO_THROW(filter.check_all_used());
}

TEST(NameFilter, APatternThatDoesNotCompileIsNamedWithItsPlace) {
  try {
    NameFilter({"fine", "ab(c"}, "--skip");
    FAIL() << "compiled";
  } catch (const Error& error) {
    EXPECT_EQ(error.exit(), Exit::usage);
    EXPECT_THAT(error.what(), HasSubstr("--skip 'ab(c'"));
    EXPECT_THAT(error.what(), HasSubstr("position 4"));
  }
}

TEST(NameFilter, APatternThatMatchedNothingIsNamed) {
  NameFilter filter({"up", "never"}, "--skip");
  filter.match("up_proj");
  try {
    filter.check_all_used();
    FAIL() << "passed";
  } catch (const Error& error) {
    EXPECT_EQ(error.exit(), Exit::usage);
    EXPECT_THAT(error.what(), HasSubstr("'never' matches no linear"));
  }
  filter.match("never");
  EXPECT_NO_THROW(filter.check_all_used());
}

}  // namespace
}  // namespace halftone
