// Finished work is never lost: kills, interrupts, a second run, a full disk.
#include <gmock/gmock.h>
#include <sys/mount.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <thread>

#include "base/rng.h"
#include "program.h"

namespace halftone::test {
namespace {

using std::chrono::milliseconds;
using ::testing::HasSubstr;
using ::testing::Not;

class Resume : public ::testing::Test {
 protected:
  // Large enough to be caught in the middle.
  Resume()
      : model_(make_model(folder_, "gemma3_text")),
        text_(folder_.write("text.txt", make_text(4000))) {}

  std::vector<std::string> quantize(const std::string& out, const std::string& more = "") const {
    std::vector<std::string> all = {"quantize",  model_,    "-o",       out,         "--group-size",
                                    "16",        "--calib", text_,      "--samples", "400",
                                    "--seq-len", "256",     "--method", method_};
    if (!more.empty()) all.push_back(more);
    return all;
  }

  // The output of a run that nothing happens to; quantize.toml and the model card name no output.
  std::string undisturbed() const {
    const Outcome made = run(quantize(folder_.path("undisturbed")));
    EXPECT_EQ(made.code, 0) << made.err;
    return tree(folder_.path("undisturbed"));
  }

  // Until the journal holds a finished stage.
  void wait_for(const Running& program, const std::string& path) const {
    std::error_code missing;
    while (program.alive() && !(std::filesystem::file_size(path, missing) > 2000 && !missing))
      std::this_thread::sleep_for(milliseconds(1));
  }

  void kill_at_random_moments() const;

  Folder folder_;
  std::string model_, text_, method_ = "gptq";
};

void Resume::kill_at_random_moments() const {
  const std::string whole = undisturbed();
  Rng rng(11);
  const std::string out = folder_.path("killed");
  int kills = 0;
  for (int attempt = 0; attempt < 8; ++attempt) {
    Running program(quantize(out, "--resume"));
    wait_for(program, out + ".journal");
    std::this_thread::sleep_for(milliseconds(rng.below(150)));
    if (!program.alive()) break;
    program.signal(SIGKILL);
    EXPECT_EQ(program.wait().code, 128 + SIGKILL);
    ++kills;
    EXPECT_FALSE(std::filesystem::exists(out)) << "half-written output";
  }
  if (!std::filesystem::exists(out)) {
    const Outcome last = run(quantize(out, "--resume"));
    ASSERT_EQ(last.code, 0) << last.err;
  }
  EXPECT_GT(kills, 0);
  EXPECT_EQ(tree(out), whole);
  EXPECT_FALSE(std::filesystem::exists(out + ".journal"));
}

TEST_F(Resume, KilledAtRandomMomentsTheResultIsTheSame) { kill_at_random_moments(); }

// Also in the search for channel scales, which comes first.
TEST_F(Resume, KilledAtRandomMomentsATransformedModelIsTheSame) {
  method_ = "awq+gptq";
  kill_at_random_moments();
}

TEST_F(Resume, AnInterruptKeepsTheJournalAndSaysHowToGoOn) {
  const std::string out = folder_.path("out");
  Running program(quantize(out));
  wait_for(program, out + ".journal");
  std::this_thread::sleep_for(milliseconds(100));
  program.signal(SIGINT);
  const Outcome stopped = program.wait();
  EXPECT_EQ(stopped.code, 130) << stopped.err;
  EXPECT_THAT(stopped.err, HasSubstr("Stopping after this step"));
  EXPECT_THAT(stopped.err, HasSubstr("--resume"));
  EXPECT_TRUE(std::filesystem::exists(out + ".journal"));
  EXPECT_FALSE(std::filesystem::exists(out));

  const Outcome refused = run(quantize(out));
  EXPECT_EQ(refused.code, 2);
  EXPECT_THAT(refused.err, HasSubstr("--resume"));
  const Outcome done = run(quantize(out, "--resume"));
  EXPECT_EQ(done.code, 0) << done.err;
  EXPECT_THAT(done.out, ::testing::ContainsRegex("of which [0-9.]+ s before the interruption"));
}

// Reading what is no longer there is a signal, not an error that a call returns.
TEST_F(Resume, AModelThatIsCutShortMeanwhileIsNamedAndTheJournalKept) {
  const std::string whole = undisturbed(), weights = model_ + "/model.safetensors";
  const std::string out = folder_.path("out"), kept = folder_.path("kept");
  std::filesystem::copy(weights, kept);
  Running program(quantize(out));
  wait_for(program, out + ".journal");
  std::filesystem::resize_file(weights, 5000);
  const Outcome stopped = program.wait();
  EXPECT_EQ(stopped.code, 3) << stopped.err;
  EXPECT_THAT(stopped.err, HasSubstr("halftone: " + weights + ": became shorter"));
  EXPECT_THAT(stopped.err, HasSubstr("--resume"));
  EXPECT_TRUE(std::filesystem::exists(out + ".journal"));
  EXPECT_FALSE(std::filesystem::exists(out));

  std::filesystem::copy(kept, weights, std::filesystem::copy_options::overwrite_existing);
  const Outcome done = run(quantize(out, "--resume"));
  EXPECT_EQ(done.code, 0) << done.err;
  EXPECT_EQ(tree(out), whole);
}

TEST_F(Resume, AnotherJobsJournalIsRefused) {
  const std::string out = folder_.path("out");
  Running program(quantize(out));
  wait_for(program, out + ".journal");
  std::this_thread::sleep_for(milliseconds(50));
  program.signal(SIGKILL);
  program.wait();
  std::vector<std::string> other = quantize(out, "--resume");
  other.insert(other.end(), {"--seed", "9"});
  const Outcome refused = run(other);
  EXPECT_EQ(refused.code, 2);
  EXPECT_THAT(refused.err, HasSubstr("calibration differs"));
  EXPECT_THAT(refused.err, HasSubstr("seed differs (was 0, is 9)"));
  EXPECT_THAT(refused.err, ::testing::Not(HasSubstr("plan differs")));
  std::vector<std::string> bits = quantize(out, "--resume");
  bits.insert(bits.end(), {"--bits", "8"});
  EXPECT_THAT(run(bits).err, HasSubstr("bits differs (was 4, is 8)"));
}

TEST_F(Resume, ASecondRunIsRefusedWhileTheFirstLives) {
  const std::string out = folder_.path("out");
  Running first(quantize(out));
  wait_for(first, out + ".journal");
  for (const char* flag : {"--resume", "--force"}) {
    const Outcome second = run(quantize(out, flag));
    if (!first.alive()) GTEST_SKIP() << "the first run was over too soon";
    EXPECT_EQ(second.code, 2) << flag;
  }
  EXPECT_EQ(first.wait().code, 0);
}

// The state that a kill between publishing and deleting the journal leaves: a second name keeps the
// journal.
TEST_F(Resume, KilledAfterPublishingItSaysThatItWasFinished) {
  const std::string out = folder_.path("out"), journal = out + ".journal",
                    kept = folder_.path("kept");
  Running program(quantize(out));
  wait_for(program, journal);
  std::filesystem::create_hard_link(journal, kept);
  ASSERT_EQ(program.wait().code, 0);
  ASSERT_FALSE(std::filesystem::exists(journal));
  std::filesystem::rename(kept, journal);
  const std::string before = tree(out);
  const Outcome again = run(quantize(out, "--resume"));
  EXPECT_EQ(again.code, 2);
  EXPECT_THAT(again.err, HasSubstr(out + " was finished"));
  EXPECT_FALSE(std::filesystem::exists(journal));
  EXPECT_EQ(tree(out), before);
}

TEST_F(Resume, WithForceTheJournalIsGoneOnWithAndTheOutputReplaced) {
  const std::string out = folder_.path("out");
  std::filesystem::create_directory(out);
  std::ofstream(out + "/config.json") << "{}";  // what is no model is not replaced
  std::ofstream(out + "/README.md") << "an older result";
  std::vector<std::string> first = quantize(out, "--force");
  Running program(first);
  wait_for(program, out + ".journal");
  program.signal(SIGKILL);
  ASSERT_EQ(program.wait().code, 128 + SIGKILL);
  EXPECT_EQ(read(out + "/README.md"), "an older result");

  const Outcome refused =
      run(quantize(out, "--resume"));  // OUT is there, and was not made by this job
  EXPECT_EQ(refused.code, 2);
  EXPECT_THAT(refused.err, HasSubstr("exists"));
  EXPECT_TRUE(std::filesystem::exists(out + ".journal"));

  std::vector<std::string> both = quantize(out, "--resume");
  both.push_back("--force");
  const Outcome done = run(both);
  ASSERT_EQ(done.code, 0) << done.err;
  EXPECT_THAT(read(out + ".log.jsonl"), HasSubstr("\"resumed\":true"));
  EXPECT_EQ(tree(out), undisturbed());
  EXPECT_FALSE(std::filesystem::exists(out + ".journal"));
}

// A file system of its own, as small as is asked for.
class SmallDisk : public Resume {
 protected:
  SmallDisk() { std::filesystem::create_directory(disk_); }
  ~SmallDisk() override {
    if (mounted_) umount2(disk_.c_str(), MNT_DETACH);
  }
  bool mount_disk(const char* size) {
    mounted_ = mount("tmpfs", disk_.c_str(), "tmpfs", 0, size) == 0;
    return mounted_;
  }
  // Fills the disk when `journal` holds a finished stage, and waits for what comes of it.
  Outcome fill_during(Running& program, const std::string& journal) const {
    wait_for(program, journal);
    program.signal(SIGSTOP);  // so that it cannot be done before the disk is full
    {
      std::ofstream file(ballast_, std::ios::binary);
      const std::string page(4096, 'x');
      while (file.write(page.data(), 4096).flush()) {
      }
    }
    program.signal(SIGCONT);
    return program.wait();
  }
  static constexpr const char* kCannotMount = "cannot mount a small tmpfs here (needs root)";

  std::string disk_ = folder_.path("disk"), ballast_ = disk_ + "/ballast";
  bool mounted_ = false;
};

TEST_F(SmallDisk, TooLittleIsRefusedBeforeItStarts) {
  if (!mount_disk("size=96k")) GTEST_SKIP() << kCannotMount;
  const Outcome refused = run(quantize(disk_ + "/out"));
  EXPECT_EQ(refused.code, 4);
  EXPECT_THAT(refused.err,
              ::testing::ContainsRegex("needs [0-9.]+ [kM]B of disk, 98.3 kB are free"));
  EXPECT_EQ(listing(disk_), "");
}

TEST_F(SmallDisk, FullInTheMiddleLosesNothing) {
  if (!mount_disk("size=2m")) GTEST_SKIP() << kCannotMount;
  const std::string out = disk_ + "/out";
  Running program(quantize(out));
  const Outcome full = fill_during(program, out + ".journal");
  EXPECT_EQ(full.code, 4) << full.err;
  EXPECT_THAT(full.err, HasSubstr(out));
  EXPECT_THAT(full.err, HasSubstr("--resume goes on"));
  EXPECT_FALSE(std::filesystem::exists(out));
  EXPECT_GT(std::filesystem::file_size(out + ".journal"), 2000u);

  std::filesystem::remove(ballast_);
  const Outcome done = run(quantize(out, "--resume"));
  ASSERT_EQ(done.code, 0) << done.err;
  EXPECT_THAT(read(out + ".log.jsonl"), HasSubstr("\"resumed\":true"));
  EXPECT_EQ(tree(out), undisturbed());
  EXPECT_EQ(listing(disk_), "out out.log.jsonl");
}

// A comparison has no --resume: what it keeps, it goes on from by itself; else nothing is left.
class SmallDiskOfComparison : public SmallDisk {
 protected:
  std::vector<std::string> compare(const std::string& directory) const {
    std::vector<std::string> all = {"compare", model_,       "--methods", "gptq",      "-g",
                                    "16",      "--calib",    text_,       "--samples", "400",
                                    "--text",  text_,        "--seq-len", "256",       "--windows",
                                    "2",       "--protocol", "llama.cpp"};
    if (!directory.empty()) all.insert(all.end(), {"-o", directory});
    return all;
  }
};

TEST_F(SmallDiskOfComparison, WhatIsKeptIsGoneOnFromByTheSameCommand) {
  if (!mount_disk("size=2m")) GTEST_SKIP() << kCannotMount;
  const std::string cells = disk_ + "/cells";
  Running program(compare(cells));
  const Outcome full = fill_during(program, cells + "/gptq-4bit-g16-400x.journal");
  EXPECT_EQ(full.code, 4) << full.err;
  EXPECT_THAT(full.err, HasSubstr("(in cell 1 of 1)"));
  EXPECT_THAT(full.err, HasSubstr("the same command goes on from what is in " + cells));
  EXPECT_THAT(full.err, Not(HasSubstr("--resume")));

  std::filesystem::remove(ballast_);
  const Outcome done = run(compare(cells));
  ASSERT_EQ(done.code, 0) << done.err;
  EXPECT_THAT(read(cells + "/gptq-4bit-g16-400x.log.jsonl"), HasSubstr("\"resumed\":true"));
}

TEST_F(SmallDiskOfComparison, OfWhatIsDeletedNothingIsPromised) {
  if (!mount_disk("size=2m")) GTEST_SKIP() << kCannotMount;
  const std::filesystem::path before = std::filesystem::current_path();
  std::filesystem::current_path(disk_);  // where a comparison without -o works
  Running program(compare(""));
  std::filesystem::current_path(before);
  std::string cells;
  while (program.alive() && !cells.starts_with(".halftone-compare-")) cells = listing(disk_);
  const Outcome full = fill_during(program, disk_ + "/" + cells + "/gptq-4bit-g16-400x.journal");
  EXPECT_EQ(full.code, 4) << full.err;
  EXPECT_THAT(full.err, HasSubstr("nothing is left behind; with -o DIR"));
  EXPECT_THAT(full.err, Not(HasSubstr("--resume")));
  EXPECT_EQ(listing(disk_), "ballast");
}

}  // namespace
}  // namespace halftone::test
