// One clear line for each mistake on the command line, its exit code, and nothing left behind.
#include <gmock/gmock.h>

#include <filesystem>

#include "bad_input.h"

namespace halftone::test {
namespace {

using ::testing::HasSubstr;

class BadOptions : public BadInput {};

TEST_F(BadOptions, UnknownWordsGetTheNearestRightOne) {
  check(run({"quantize", model_, "--grop-size", "8"}), 2, "did you mean --group-size?");
  check(run({"quantise", model_}), 2, "did you mean quantize?");
}

TEST_F(BadOptions, NumbersAreChecked) {
  for (const auto& [option, value] : {std::pair<const char*, const char*>{"--damp", "nan"},
                                      {"--damp", "-1"},
                                      {"--seed", "-1"},
                                      {"--seed", "99999999999999999999999"},
                                      {"--samples", "0"},
                                      {"--max-memory", "lots"},
                                      {"--max-memory", "-1"},
                                      {"--max-memory", "0"},
                                      {"--max-memory", "device=8G,disk=2G"},
                                      {"--max-memory", "host=8G,host=9G"}})
    refuse(2, option, {option, value});
  check(run({"eval", model_, "--text", text_, "--windows", "0"}), 2, "whole number");
  check(run({"generate", model_, "--prompt", "a", "--temperature", "nan"}), 2, "--temperature");
}

// What the option is, what it got, what it expected; then the valid value that is nearest.
TEST_F(BadOptions, ValuesThatCannotBeAreAnsweredWithTheNearestThatCan) {
  const auto answer = [&](std::vector<std::string> more, const std::string& words) {
    more.insert(more.begin(), {"quantize", model_, "-o", folder_.path("out")});
    check(run(more), 2, words);
  };
  answer({"--bits", "4.5"},
         "halftone: --bits: got 4.5, expected 2, 3, 4, 5, 6 or 8\n          the nearest is 4.\n");
  answer({"--bits", "many"},
         "--bits: got many, expected 2, 3, 4, 5, 6 or 8\n          halftone quantize --help");
  answer({"--bits"}, "--bits: got nothing, expected 2|3|4|5|6|8");
  answer({"--desc-act", "maybe"}, "--desc-act: got maybe, expected true or false");
  answer(
      {"--method", "gptqq"},
      "--method: got gptqq, expected gptq, awq, awq+gptq or rtn\n          the nearest is gptq.");
  answer({"--gguf-type", "Q4_KM"}, "IQ4_XS, Q4_0 or Q4_1\n          the nearest is Q4_K_M.");
  answer({"--head-type", "q6k"}, "IQ4_XS, Q4_0 or Q4_1\n          the nearest is Q6_K.");
  answer({"--dynamic", "{"}, "--dynamic: ");
  answer({"--group-size", "0"},
         "--group-size: got 0, expected a whole number from 1 to 1048576, or -1");
  answer({"--samples", "1.7"}, "expected a whole number from 1\n          the nearest is 2.");
  answer({"--damp", "3"},
         "--damp: got 3, expected a number from 0 to 1\n          the nearest is 1.");
  answer({"--json=maybe"}, "--json: got maybe, expected no value");
  answer({"--sym", "--asym"}, "got both, expected one of them");
  answer({"-o", "other"}, "--output: given 2 times, expected once");
  answer({"--model", "other"}, "--model: given 2 times, expected once");
  answer({"--config", "nowhere.toml"}, "--config: got nowhere.toml, expected a file that is there");
  check(run({"eval", model_, "--text", text_, "--max-ppl-increase", "1"}), 2,
        "--max-ppl-increase: got it alone, expected --against with it");
}

TEST_F(BadOptions, WhatIsNotGivenIsSaidWithAnExample) {
  check(run({}), 2, "no command given");
  check(run({"quantize"}), 2, "MODEL: not given, expected a directory, .gguf file, or org/name");
  check(run({"quantize", model_}), 2, "--output: not given, expected DIR (directory to make)");
  check(run({"generate", model_}), 2, "--prompt: not given, expected TEXT");
  check(run({"eval", model_}), 2, "Example: halftone eval");
}

TEST_F(BadOptions, UnknownFlagsOfEveryCommand) {
  for (const std::string command :
       {"quantize", "eval", "generate", "tokenize", "inspect", "convert", "demo"}) {
    const Outcome outcome = run({command, "--frobnicate-all"});
    check(outcome, 2, "unknown option --frobnicate-all\n");
    EXPECT_THAT(outcome.err, HasSubstr("halftone " + command + " --help lists the options."));
    check(run({command, "--hepl"}), 2, "did you mean --help?");
  }
}

TEST_F(BadOptions, ContradictionsAreRefused) {
  refuse(2, "--order act: rtn rounds each weight by itself", {"--method", "rtn", "--order", "act"});
  refuse(2, "--sym", {"--sym", "--asym"});
  refuse(2, "--order", {"--order", "act", "--desc-act", "true"});
  refuse(2, "--bits", {"--bits", "5"});
  refuse(2, "gptq", {"--method", "magic"});
  refuse(2, "gptq", {"--format", "magic"});
  refuse(2, "fast", {"--recipe", "magic"});
  refuse(2, "auto", {"--device", "magic"});
}

TEST_F(BadOptions, AGroupThatDoesNotDivideIsNamedAndAnotherProposed) {
  refuse(2, "does not divide model.layers.0.self_attn.q_proj", {"--group-size", "24"});
}

TEST_F(BadOptions, SkipPatternsMustCompileAndMatch) {
  refuse(2, "nothing is left to quantize: all 14 linears are skipped", {"--skip", ".*"});
  refuse(2, "not a regular expression", {"--skip", "("});
  refuse(2, "matches no linear", {"--skip", "nothing_like_this"});
}

TEST_F(BadOptions, AConfigurationFileIsReadStrictly) {
  for (const char* text : {"[quantize]\nbitz = 3\n", "[quantise]\nbits = 3\n"}) {
    const std::string config = folder_.write("bad.toml", text);
    refuse(2, "bad.toml", {"--config", config});
  }
}

TEST_F(BadOptions, TooLittleMemorySaysTheLeast) { refuse(4, "at least", {"--max-memory", "1M"}); }

TEST_F(BadOptions, WhereNothingCanBeWrittenIsSaidBeforeItStarts) {
  const auto output = [&](const std::string& out) {
    return run({"quantize", model_, "-o", out, "-g", "16", "--calib", text_, "--samples", "4",
                "--seq-len", "64"});
  };
  check(output("/proc/x"), 3, "/proc/x: cannot be created: /proc takes no new directory");
  check(output(folder_.path("no/where")), 3, "no is not there, expected a directory\n");
  EXPECT_THAT(output(folder_.path("no/where")).err, HasSubstr("mkdir -p " + folder_.path("no")));
  check(output(text_ + "/out"), 3, "text.txt is a file, expected a directory");
  EXPECT_EQ(listing(folder_.path()), "model text.txt");
}

TEST_F(BadOptions, OutputsThatCannotBe) {
  check(run({"quantize", model_, "-o", text_ + "/out", "--calib", text_, "--group-size", "16",
             "--samples", "4", "--seq-len", "64"}),
        3, "out");
  std::filesystem::create_directory(folder_.path("there"));
  check(run({"quantize", model_, "-o", folder_.path("there"), "--calib", text_, "--group-size",
             "16"}),
        2, "exists");
}

TEST_F(BadOptions, TheModelIsNeverItsOwnOutput) {
  check(run({"quantize", model_, "-o", model_, "--force", "--group-size", "16", "--calib", text_}),
        2, "is the model itself");
  check(run({"quantize", model_, "-o", text_, "--force", "--group-size", "16", "--calib", text_}),
        2, "not replaced");
  EXPECT_EQ(read(text_).size(), make_text(300).size());
}

}  // namespace
}  // namespace halftone::test
