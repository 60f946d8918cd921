// --dynamic's rules over module names.
#include "apps/dynamic_rules.h"

#include <gtest/gtest.h>

#include <fstream>

#include "base/error.h"
#include "base/temporary_directory.h"

namespace halftone {
namespace {

constexpr const char* kDown = "model.layers.1.mlp.down_proj";

std::string refusal(const std::vector<std::string>& entries) {
  try {
    DynamicRules rules(entries);
    rules.choose(kDown, {});
    rules.check_all_used();
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

TEST(DynamicRules, ARuleChangesWhatItNamesAndLeavesTheRest) {
  DynamicRules rules({R"({"-:model\\.layers\\.0\\.": {}, "+:.*down": {"bits": 8, "sym": false}})",
                      R"({".*o_proj": {"group_size": 32}})"});
  EXPECT_EQ(rules.choose(kDown, {.group_size = 64}).grid,
            (Grid{.bits = 8, .group_size = 64, .symmetric = false}));
  EXPECT_EQ(rules.choose("model.layers.1.self_attn.o_proj", {}).grid, (Grid{.group_size = 32}));
  EXPECT_EQ(rules.choose("model.layers.1.mlp.up_proj", {}).grid, Grid());
  EXPECT_EQ(rules.choose("model.layers.0.mlp.up_proj", {}).skip, "-:model\\.layers\\.0\\.");
  EXPECT_NO_THROW(rules.check_all_used());
}

TEST(DynamicRules, AFileMayHoldThem) {
  const TemporaryDirectory place;
  std::ofstream(place.file("rules.json")) << R"({".*down_proj": {"bits": 3}})";
  DynamicRules rules({place.file("rules.json")});
  EXPECT_EQ(rules.choose(kDown, {}).grid.bits, 3);
}

// GPTQModel tries negatives first and vLLM goes by the order of writing.
TEST(DynamicRules, TwoThatSayDifferentThingsOfAModuleAreRefused) {
  EXPECT_EQ(refusal({R"({".*down": {"bits": 8}, ".*mlp": {"bits": 3}})"}),
            "--dynamic: model.layers.1.mlp.down_proj is matched by '.*down' and by '.*mlp', which "
            "do not say the same");
  EXPECT_NE(refusal({R"({"+:.*down": {"bits": 8}, "-:.*mlp": {}})"}), "");
  EXPECT_EQ(refusal({R"({".*down": {"bits": 8}, ".*mlp": {"bits": 8}})"}), "");
}

// What the user typed is the command line's; what a file holds, a bad input.
TEST(DynamicRules, ExitCodesSayWhereTheTroubleIs) {
  const auto exit_of = [](const std::string& entry) {
    try {
      DynamicRules({entry});
    } catch (const Error& error) {
      EXPECT_EQ(error.hint().empty(), error.exit() != Exit::usage);
      return error.exit();
    }
    return Exit::done;
  };
  EXPECT_EQ(exit_of(R"({"a":)"), Exit::usage);
  EXPECT_EQ(exit_of("[1]"), Exit::usage);
  EXPECT_EQ(exit_of("/no/such/file"), Exit::bad_input);
}

TEST(DynamicRules, WhatIsNoRuleIsNamed) {
  EXPECT_NE(refusal({R"({".*down": {"bitz": 8}})"}).find("bitz: 8, expected"), std::string::npos);
  EXPECT_NE(refusal({R"({".*down": {"bits": "8"}})"}).find("bits: \"8\""), std::string::npos);
  EXPECT_NE(refusal({R"({".*down": {"bits": 4294967304}})"}).find("bits: 4294967304"),
            std::string::npos);  // 8, were it cut to 32 bits
  EXPECT_NE(refusal({R"({"-:.*down": {"bits": 8}})"}).find("leaves modules dense"),
            std::string::npos);
  EXPECT_NE(refusal({R"({".*down": 8})"}).find("expected an object, got number"),
            std::string::npos);
  EXPECT_NE(refusal({R"({"(": {}})"}).find("not a regular expression"), std::string::npos);
  EXPECT_NE(refusal({"{"}), "");
  EXPECT_NE(refusal({"/no/such/file"}), "");
  // Anchored at the start.
  EXPECT_EQ(refusal({R"({"down_proj": {"bits": 8}})"}),
            "--dynamic 'down_proj' matches no linear of this model");
}

}  // namespace
}  // namespace halftone
