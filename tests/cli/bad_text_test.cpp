// Texts and prompts that are missing, damaged, too short, or the wrong ones.
#include <gmock/gmock.h>

#include <chrono>
#include <csignal>
#include <thread>

#include "bad_input.h"
#include "base/json.h"

namespace halftone::test {
namespace {

using ::testing::HasSubstr;

class BadText : public BadInput {};

TEST_F(BadText, CalibrationTextIsChecked) {
  refuse(3, "missing.txt", {"--calib", folder_.path("missing.txt")});
  refuse(3, "blank.txt: empty", {"--calib", folder_.write("blank.txt", "")});
  refuse(3, "NUL", {"--calib", folder_.write("binary.txt", std::string("ab\0cd", 5))});
  refuse(3, "UTF-8", {"--calib", folder_.write("latin.txt", "caf\xe9 au lait")});
  refuse(3, "line 2", {"--calib", folder_.write("bad.jsonl", "{\"text\": \"a\"}\nnot json\n")});
  refuse(3, "tokens", {"--calib", folder_.write("short.txt", "a few words")});
}

TEST_F(BadText, TheSameTextTwiceIsUsedOnceAndSaid) {
  const std::string copy = folder_.write("copy.txt", make_text(300));
  const auto quantize = [&](const std::string& out, const std::string& second) {
    std::vector<std::string> all = {"quantize",  model_, "-o",        folder_.path(out),
                                    "-g",        "16",   "--samples", "4",
                                    "--seq-len", "64",   "--calib",   text_};
    if (!second.empty()) all.insert(all.end(), {"--calib", second});
    return run(all);
  };
  ASSERT_EQ(quantize("once", "").code, 0);
  const Outcome twice = quantize("twice", copy);
  ASSERT_EQ(twice.code, 0) << twice.err;
  EXPECT_THAT(twice.err, HasSubstr(copy + ": the same text as " + text_ + ", used once"));
  EXPECT_EQ(read(folder_.path("once/model.safetensors")),
            read(folder_.path("twice/model.safetensors")));
}

TEST_F(BadText, TooFewTokensSaysHowManyThereAre) {
  const Outcome made =
      run({"quantize", model_, "-o", folder_.path("out"), "--group-size", "16", "--calib",
           folder_.write("short.txt", make_text(20)), "--samples", "100", "--seq-len", "64"});
  check(made, 3, "100 samples of 64 need 6,400");
  EXPECT_THAT(made.err, HasSubstr("pass --samples"));
}

TEST_F(BadText, WithoutASampleCountAllThereIsIsUsed) {
  const Outcome made =
      run({"quantize", model_, "-o", folder_.path("out"), "--group-size", "16", "--calib",
           folder_.write("short.txt", make_text(40)), "--seq-len", "64"});
  EXPECT_EQ(made.code, 0) << made.err;
  EXPECT_THAT(made.err, HasSubstr("held out"));
}

TEST_F(BadText, EvaluationTextIsChecked) {
  const auto eval = [&](const std::string& text) {
    return run({"eval", model_, "--text", text, "--seq-len", "64"});
  };
  check(eval(folder_.path("missing.txt")), 3, "missing.txt");
  check(eval(folder_.write("short.txt", "a b c")), 3, "tokens");
  check(eval(folder_.write("latin.txt", "caf\xe9")), 3, "UTF-8");
}

TEST_F(BadText, EvaluatingOnTheCalibrationTextIsSaid) {
  ASSERT_EQ(run({"quantize", model_, "-o", folder_.path("made"), "--group-size", "16", "--calib",
                 text_, "--samples", "4", "--seq-len", "64"})
                .code,
            0);
  const auto eval = [&](const std::string& text) {
    return run({"eval", folder_.path("made"), "--text", text, "--seq-len", "64"}).out;
  };
  EXPECT_THAT(eval(text_), HasSubstr("was calibrated on"));
  EXPECT_THAT(eval(folder_.write("fresh.txt", make_text(300, 8))),
              ::testing::Not(HasSubstr("calibrated on")));
}

// Until its handler stands, a signal ends it as any program, without a word: so that is waited for.
TEST_F(BadText, AnInterruptEndsAnEvaluation) {
  const std::string text = folder_.write("long.txt", make_text(50000));
  Running program({"eval", model_, "--text", text, "--seq-len", "64"});
  while (program.alive() && !program.catches(SIGINT))
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  program.signal(SIGINT);
  const Outcome outcome = program.wait();
  check(outcome, 130, "interrupted");
  EXPECT_EQ(listing(folder_.path()), "long.txt model text.txt");
}

TEST_F(BadText, PromptsAreChecked) {
  check(run({"generate", model_, "--prompt", ""}), 2, "empty");
  check(run({"generate", model_, "--prompt", "a", "-n", "99999"}), 2, "prompt of 1 token and -n");
  const Outcome broken = run({"generate", model_, "--prompt", "caf\xe9 ab", "-n", "2"});
  EXPECT_EQ(broken.code, 0);
  EXPECT_THAT(broken.err, HasSubstr("--prompt: not UTF-8 (byte 3): what is broken becomes U+FFFD"));
}

TEST_F(BadText, AnEndThatNoTokenHasIsSaid) {
  edit_config([](Json& config) { config["eos_token_id"] = 99999; });
  const Outcome outcome = run({"generate", model_, "--prompt", "ab", "-n", "2"});
  EXPECT_EQ(outcome.code, 0);
  EXPECT_THAT(outcome.err,
              HasSubstr("config.json: eos_token_id 99999 is not in the vocabulary of"));
}

}  // namespace
}  // namespace halftone::test
