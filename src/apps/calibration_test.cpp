// Which windows calibrate, which are held out, and what is said when there are too few.
#include "apps/calibration.h"

#include <gmock/gmock.h>

#include <cstdlib>
#include <set>

#include "apps/test_model_folder.h"
#include "base/error.h"

namespace halftone {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using Ids = std::vector<int32_t>;

constexpr int64_t kLength = 16;

std::vector<Ids> windows_of(const Windows& windows) {
  std::vector<Ids> all;
  for (int64_t w = 0; w < windows.count(); ++w)
    all.emplace_back(windows.window(w), windows.window(w) + windows.length);
  return all;
}

class CalibrationTest : public ::testing::Test {
 protected:
  // From a text of `windows` windows and a tail that fills none.
  Calibration read(int64_t windows, int64_t samples, bool given, const std::string& method = "gptq",
                   uint64_t seed = 0) {
    options_.output = folder_.path("out");
    options_.group_size = 16;
    options_.calibration = {folder_.write_letters("text.txt", windows * kLength + 5)};
    options_.samples = samples;
    options_.samples_given = given;
    options_.seq_len = kLength;
    options_.method = method;
    options_.seed = seed;
    return read_calibration(tokenizer_, make_plan(model_, options_), options_);
  }
  std::string refused(int64_t windows, int64_t samples, bool given) {
    try {
      read(windows, samples, given);
    } catch (const Error& error) {
      EXPECT_EQ(error.exit(), Exit::bad_input);
      return std::string(error.what()) + " | " + error.hint();
    }
    ADD_FAILURE() << "taken";
    return "";
  }
  std::vector<Ids> all_windows() {
    return windows_of(cut_windows(tokenizer_, {read_text_file(folder_.path("text.txt"))}, kLength));
  }

  TestModelFolder folder_;
  OpenedModel model_ = folder_.open();
  Tokenizer tokenizer_ = Tokenizer::load(model_.checkpoint->metadata());
  QuantizeOptions options_;
};

TEST_F(CalibrationTest, SamplesAndHeldOutWindowsAreApart) {
  const Calibration calibration = read(100, 32, true);
  EXPECT_EQ(calibration.samples.count(), 32);
  EXPECT_EQ(calibration.held_out.count(), 2);  // one in sixteen
  EXPECT_TRUE(calibration.notes.empty());
  std::set<Ids> picked;
  for (const Windows* part : {&calibration.samples, &calibration.held_out})
    for (const Ids& window : windows_of(*part))
      EXPECT_TRUE(picked.insert(window).second) << "taken twice";
  const std::vector<Ids> all = all_windows();
  ASSERT_EQ(all.size(), 100u);
  for (const Ids& window : picked) EXPECT_EQ(std::count(all.begin(), all.end(), window), 1);
  EXPECT_NE(windows_of(calibration.samples).front(), all.front()) << "not shuffled";
}

TEST_F(CalibrationTest, TheSeedPicks) {
  const Calibration first = read(100, 32, true, "gptq", 1), again = read(100, 32, true, "gptq", 1);
  const Calibration other = read(100, 32, true, "gptq", 2);
  EXPECT_EQ(first.samples.ids, again.samples.ids);
  EXPECT_EQ(first.ids_sha256, again.ids_sha256);
  EXPECT_NE(first.samples.ids, other.samples.ids);
  EXPECT_NE(first.ids_sha256, other.ids_sha256);
  EXPECT_EQ(first.sha256, other.sha256);  // of the text
}

// Or their losses could not be compared. Every count from ample to short, asked for or not.
TEST_F(CalibrationTest, HeldOutWindowsAreTheSameForEveryMethod) {
  for (const int64_t windows : {3, 20, 31, 33, 34, 40, 100})
    for (const bool given : {false, true}) {
      const int64_t samples = given ? std::min<int64_t>(windows - 1, 32) : 32;
      SCOPED_TRACE(fmt::format("{} windows, {} samples, {}", windows, samples,
                               given ? "given" : "not given"));
      const Calibration gptq = read(windows, samples, given),
                        rtn = read(windows, samples, given, "rtn");
      EXPECT_GT(gptq.held_out.count(), 0);
      EXPECT_EQ(gptq.held_out.ids, rtn.held_out.ids);
      EXPECT_EQ(rtn.samples.count(), 0);
    }
}

// All of the text calibrates when that is asked for; a method that looks at nothing still measures.
TEST_F(CalibrationTest, RoundingMeasuresOnWhatThereIs) {
  EXPECT_EQ(read(8, 8, true).held_out.count(), 0);
  EXPECT_EQ(read(8, 8, true, "rtn").held_out.count(), 1);
  EXPECT_EQ(read(3, 32, true, "rtn").held_out.count(), 2);
  EXPECT_EQ(read(0, 32, true, "rtn").held_out.count(), 0);
}

TEST_F(CalibrationTest, WithoutASampleCountAllThereIsIsUsedAndSaid) {
  const Calibration calibration = read(40, 128, false);
  EXPECT_EQ(calibration.samples.count(), 38);
  EXPECT_EQ(calibration.held_out.count(), 2);
  EXPECT_THAT(calibration.notes,
              ElementsAre("the text holds 40 windows: 38 to calibrate on, 2 held out"));
  EXPECT_TRUE(read(200, 128, false).notes.empty());
}

TEST_F(CalibrationTest, AtMostEightWindowsAreHeldOut) {
  EXPECT_EQ(read(400, 300, true).held_out.count(), 8);
  EXPECT_EQ(read(301, 300, true).held_out.count(), 1);  // what is left
}

TEST_F(CalibrationTest, TooFewTokensSaysHowManyThereAreAndWhatWouldDo) {
  EXPECT_THAT(refused(4, 5, true),
              HasSubstr("text.txt holds 69 tokens; 5 samples of 16 need 80 | pass --samples 4"));
  EXPECT_THAT(refused(0, 1, true),
              HasSubstr("holds 5 tokens; 1 sample of 16 need 16 | pass more text"));
  EXPECT_THAT(refused(1, 128, false),
              HasSubstr("128 samples"));  // nothing would be left to hold out
}

TEST_F(CalibrationTest, TheSourceNamesFilesAndCountsTokens) {
  EXPECT_EQ(read(10, 4, true).source, "text.txt (165 tokens)");
  options_.calibration = {folder_.write("a.jsonl", "{\"text\": \"aaaa\"}\n{\"text\": \"bbbb\"}\n"),
                          folder_.write_letters("b.txt", 64)};
  options_.samples = 2;
  const Calibration two = read_calibration(tokenizer_, make_plan(model_, options_), options_);
  EXPECT_THAT(two.source, HasSubstr("a.jsonl, b.txt (3 documents, "));
}

TEST_F(CalibrationTest, WithoutATextItSaysWhereOneIsFetchedTo) {
  read(10, 4, true);
  options_.calibration.clear();
  const char* before = std::getenv("XDG_CACHE_HOME");
  const std::string kept = before ? before : "";
  setenv("XDG_CACHE_HOME", folder_.path("cache").c_str(), 1);
  options_.method = "rtn";  // needs none
  EXPECT_EQ(read_calibration(tokenizer_, make_plan(model_, options_), options_).held_out.count(),
            0);
  options_.method = "gptq";
  try {
    read_calibration(tokenizer_, make_plan(model_, options_), options_);
    ADD_FAILURE() << "taken";
  } catch (const Error& error) {
    EXPECT_EQ(error.exit(), Exit::usage);
    EXPECT_THAT(error.what(), HasSubstr(folder_.path("cache/halftone/texts/calibration.txt")));
    EXPECT_THAT(error.hint(), HasSubstr("--calib"));
  }
  before ? setenv("XDG_CACHE_HOME", kept.c_str(), 1) : unsetenv("XDG_CACHE_HOME");
}

TEST(WindowsText, OneLengthIsNoRange) {
  Windows windows{.length = 64};
  const std::vector<int32_t> ids(40);
  windows.append(ids);
  windows.append(ids);
  EXPECT_EQ(windows_text(windows), "2 sequences of 40 tokens, 80 in all");
  windows.append(std::span(ids).first(17));
  EXPECT_EQ(windows_text(windows), "3 sequences of 17 to 40 tokens, 97 in all");
}

}  // namespace
}  // namespace halftone
