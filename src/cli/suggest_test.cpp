// Slips on the command line and what they are answered with.
#include "cli/suggest.h"

#include <gmock/gmock.h>

#include <algorithm>

namespace halftone {
namespace {

using ::testing::HasSubstr;

TEST(Nearest, ASlipFindsItsNameAndAStrangerNone) {
  const std::vector<std::string> names = {"--group-size", "--samples", "--sym", "--asym", "--seed"};
  EXPECT_EQ(nearest("--grop-size", names), "--group-size");    // left out
  EXPECT_EQ(nearest("--groupp-size", names), "--group-size");  // doubled
  EXPECT_EQ(nearest("--gruop-size", names), "--group-size");   // exchanged
  EXPECT_EQ(nearest("--sample", names), "--samples");
  EXPECT_EQ(nearest("--sym", names), "--sym");
  EXPECT_EQ(nearest("--completely-different", names), "");
  EXPECT_EQ(nearest("--sym", {}), "");
  EXPECT_EQ(nearest("", names), "");
}

TEST(Nearest, TheFirstOfEquallyNearOnesWins) {
  EXPECT_EQ(nearest("bat", {"cat", "hat", "bit"}), "cat");
}

class ExplainTest : public ::testing::Test {
 protected:
  ExplainTest() {
    program_.require_subcommand(1);
    program_.add_option("--config", config_);
    CLI::App* quantize = program_.add_subcommand("quantize", "");
    quantize->add_option("model", model_)->required();
    quantize->add_option("--group-size", group_)->check(CLI::Range(1, 1024));
    program_.add_subcommand("eval", "")->add_option("model", model_);
  }
  Complaint complaint(std::vector<std::string> words) {
    std::reverse(words.begin(), words.end());  // as CLI11 wants them
    try {
      program_.parse(words);
    } catch (const CLI::ParseError& error) {
      return explain(program_, error);
    }
    ADD_FAILURE() << "parsed";
    return {};
  }

  CLI::App program_{"", "halftone"};
  std::string config_, model_;
  int group_ = 0;
};

TEST_F(ExplainTest, UnknownOptions) {
  EXPECT_EQ(complaint({"quantize", "m", "--grop-size", "8"}).message,
            "unknown option --grop-size; did you mean --group-size?");
  EXPECT_EQ(complaint({"quantize", "m", "--grop-size=8"}).message,
            "unknown option --grop-size; did you mean --group-size?");
  EXPECT_EQ(complaint({"quantize", "m", "--nonsense-entirely"}).message,
            "unknown option --nonsense-entirely");
  EXPECT_EQ(complaint({"quantize", "m", "--nonsense"}).hint,
            "halftone quantize --help lists the options.");
  EXPECT_EQ(complaint({"eval", "m", "--conifg", "f"}).message,
            "unknown option --conifg; did you mean --config?");
}

TEST_F(ExplainTest, UnknownCommands) {
  EXPECT_EQ(complaint({"quantise", "m"}).message,
            "unknown command quantise; did you mean quantize?");
  EXPECT_EQ(complaint({"frobnicate"}).message, "unknown command frobnicate");
  EXPECT_EQ(complaint({"frobnicate"}).hint, "halftone --help lists the commands.");
}

// What is "required" may be what was misspelt: the slip is named, not the lack.
TEST_F(ExplainTest, ASlipExplainsTheRest) {
  EXPECT_THAT(complaint({"quantize", "--modle", "m"}).message, HasSubstr("--modle"));
}

TEST_F(ExplainTest, OtherMistakesStandOnOneLine) {
  const Complaint missing = complaint({"quantize"});
  EXPECT_THAT(missing.message, HasSubstr("model"));
  EXPECT_EQ(missing.hint, "halftone quantize --help shows what it takes.");
  const Complaint range = complaint({"quantize", "m", "--group-size", "5000"});
  EXPECT_THAT(range.message, HasSubstr("5000"));
  EXPECT_EQ(range.message.find('\n'), std::string::npos);
  EXPECT_EQ(complaint({"eval", "a", "b"}).message, "unexpected argument b");
}

}  // namespace
}  // namespace halftone
