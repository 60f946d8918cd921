// The same again: from a run's own file, by others' names of options, in less memory.
#include <gmock/gmock.h>

#include <cstdlib>
#include <filesystem>

#include "base/json.h"
#include "commands.h"

namespace halftone::test {
namespace {

using ::testing::HasSubstr;

class Repeat : public Commands {};

TEST_F(Repeat, TheConfigFileOfARunMakesItAgain) {
  ASSERT_EQ(
      run(quantize("first", {"--bits", "2", "--asym", "--order", "none", "--seed", "5"})).code, 0);
  const Outcome again = run(
      {"quantize", "--config", folder_.path("first/quantize.toml"), "-o", folder_.path("again")});
  ASSERT_EQ(again.code, 0) << again.err;
  EXPECT_EQ(tree(folder_.path("first")), tree(folder_.path("again")));
}

// The rules are in it: their file may change, and the directory move.
TEST_F(Repeat, TheConfigFileHoldsTheRules) {
  const std::string rules =
      folder_.write("rules.json", R"({"+:.*\\.(down|it's)_proj": {"bits": 8}})");
  ASSERT_EQ(run(quantize("first", {"--dynamic", rules})).code, 0);
  std::filesystem::rename(folder_.path("first"), folder_.path("moved"));
  std::filesystem::remove(rules);
  const Outcome again = run(
      {"quantize", "--config", folder_.path("moved/quantize.toml"), "-o", folder_.path("again")});
  ASSERT_EQ(again.code, 0) << again.err;
  EXPECT_EQ(tree(folder_.path("moved")), tree(folder_.path("again")));
}

// Expressions and names are read back as they were, backslashes and quotes too.
TEST_F(Repeat, TheConfigFileHoldsWhatItsOwnLanguageWouldEscape) {
  const std::string text = folder_.write("a \"b\"\\c.txt", make_text(300));
  const Outcome made =
      run({"quantize", model_, "-o", folder_.path("first"), "--method", "rtn", "--group-size", "16",
           "--calib", text, "--seq-len", "64", "--skip", R"(layers\.0\.mlp)"});
  ASSERT_EQ(made.code, 0) << made.err;
  const Outcome again = run(
      {"quantize", "--config", folder_.path("first/quantize.toml"), "-o", folder_.path("again")});
  ASSERT_EQ(again.code, 0) << again.err;
  EXPECT_EQ(tree(folder_.path("first")), tree(folder_.path("again")));
  // eval reads there what was calibrated on.
  EXPECT_THAT(run({"eval", folder_.path("first"), "--text", text, "--seq-len", "64"}).out,
              HasSubstr("was calibrated on"));
}

TEST_F(Repeat, TheFieldsNamesAreUnderstood) {
  ASSERT_EQ(
      run(quantize("ours", {"--damp", "0.05", "--order", "none", "--scale-search", "minmax"})).code,
      0);
  std::vector<std::string> theirs = {"quantize",
                                     model_,
                                     "-o",
                                     folder_.path("theirs"),
                                     "-g",
                                     "16",
                                     "--calibration",
                                     text_,
                                     "--nsamples",
                                     "12",
                                     "--seqlen",
                                     "64",
                                     "--damp-percent",
                                     "0.05",
                                     "--desc-act",
                                     "false",
                                     "--mse",
                                     "0"};
  ASSERT_EQ(run(theirs).code, 0);
  EXPECT_EQ(read(folder_.path("ours/model.safetensors")),
            read(folder_.path("theirs/model.safetensors")));
}

TEST_F(Repeat, ThreadsDoNotChangeAByte) {
  ASSERT_EQ(run(quantize("one", {"--threads", "1"})).code, 0);
  ASSERT_EQ(run(quantize("two", {"--threads", "2"})).code, 0);
  EXPECT_EQ(tree(folder_.path("one")), tree(folder_.path("two")));
}

TEST_F(Repeat, ALowMemoryCapChangesNoByte) {
  const std::string text = folder_.write("long.txt", make_text(4000));
  const auto with = [&](const std::string& out, std::vector<std::string> more) {
    more.insert(more.end(), {"--calib", text, "--samples", "140"});
    return run(quantize(out, more));
  };
  ASSERT_EQ(with("free", {}).code, 0);
  const Json plan = parse_json(with("x", {"--dry-run", "--json"}).out, "plan");
  for (const char* least : {"peak_memory_bytes", "least_memory_bytes"}) {
    const int64_t less = std::string_view(least) == "peak_memory_bytes"
                             ? plan["kept_for_reuse_bytes"].get<int64_t>() + 4096
                             : 0;
    const std::string cap = std::to_string(plan[least].get<int64_t>() - less);
    const Outcome capped = with("capped", {"--max-memory", cap, "--force"});
    ASSERT_EQ(capped.code, 0) << capped.err;
    EXPECT_THAT(capped.err, HasSubstr("activations go to disk"));
    EXPECT_EQ(read(folder_.path("free/model.safetensors")),
              read(folder_.path("capped/model.safetensors")));
  }
  const std::string below = std::to_string(plan["least_memory_bytes"].get<int64_t>() - 1);
  EXPECT_EQ(with("refused", {"--max-memory", below}).code, 4);
}

TEST_F(Repeat, WhatItPrintsCanBePastedIntoAShell) {
  const std::string model = make_model(folder_, "llama", "my model"),
                    output = folder_.path("it's $4 bits"), page = folder_.path("page.html");
  const Outcome made =
      run({"quantize", model, "-o", output, "--method", "rtn", "--group-size", "16", "--calib",
           text_, "--samples", "4", "--seq-len", "64", "--report", page});
  ASSERT_EQ(made.code, 0) << made.err;
  const auto works = [&](std::string command, const std::string& placeholder,
                         const std::string& value) {
    command.replace(command.rfind(placeholder), placeholder.size(), value);
    return std::system((HALFTONE_PROGRAM + command + " > /dev/null 2>&1").c_str()) == 0;
  };
  const size_t next = made.out.find("Next: halftone") + 14;
  EXPECT_TRUE(works(made.out.substr(next, made.out.find('\n', next) - next), "FILE",
                    text_ + " --seq-len 64"))
      << made.out;
  EXPECT_THAT(read(page), HasSubstr("halftone quantize --config &#39;" + folder_.path("it")));
}

}  // namespace
}  // namespace halftone::test
