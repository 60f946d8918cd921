// Finished work is never lost: kills, interrupts, a second run, a full disk.
#include <gmock/gmock.h>
#include <sys/mount.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <filesystem>
#include <thread>

#include "base/rng.h"
#include "program.h"

namespace halftone::test {
namespace {

using ::testing::HasSubstr;
using std::chrono::milliseconds;

class Resume : public ::testing::Test {
 protected:
  // Large enough to be caught in the middle.
  Resume() : model_(make_model(folder_, "gemma3_text")), text_(folder_.write("text.txt", make_text(4000))) {}

  std::vector<std::string> quantize(const std::string& out, const std::string& more = "") const {
    std::vector<std::string> all = {"quantize", model_, "-o", out, "--group-size", "16", "--calib",
                                    text_, "--samples", "400", "--seq-len", "256"};
    if (!more.empty()) all.push_back(more);
    return all;
  }

  // Until the journal holds a finished stage.
  void wait_for(const Running& program, const std::string& path) const {
    std::error_code missing;
    while (program.alive() && !(std::filesystem::file_size(path, missing) > 2000 && !missing))
      std::this_thread::sleep_for(milliseconds(1));
  }

  Folder folder_;
  std::string model_, text_;
};

TEST_F(Resume, KilledAtRandomMomentsTheResultIsTheSame) {
  ASSERT_EQ(run(quantize(folder_.path("whole"))).code, 0);
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
  EXPECT_EQ(tree(folder_.path("whole")), tree(out));
  EXPECT_FALSE(std::filesystem::exists(out + ".journal"));
}

TEST_F(Resume, AnInterruptKeepsTheJournalAndSaysHowToGoOn) {
  const std::string out = folder_.path("out");
  Running program(quantize(out));
  wait_for(program, out + ".journal");
  std::this_thread::sleep_for(milliseconds(100));
  program.signal(SIGINT);
  const Outcome stopped = program.wait();
  EXPECT_EQ(stopped.code, 130) << stopped.err;
  EXPECT_THAT(stopped.err, HasSubstr("--resume"));
  EXPECT_TRUE(std::filesystem::exists(out + ".journal"));
  EXPECT_FALSE(std::filesystem::exists(out));

  const Outcome refused = run(quantize(out));
  EXPECT_EQ(refused.code, 2);
  EXPECT_THAT(refused.err, HasSubstr("--resume"));
  EXPECT_EQ(run(quantize(out, "--resume")).code, 0);
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
  EXPECT_THAT(refused.err, HasSubstr("calibration"));
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

TEST_F(Resume, AFullDiskLosesNothing) {
  const std::string disk = folder_.path("disk");
  std::filesystem::create_directory(disk);
  if (mount("tmpfs", disk.c_str(), "tmpfs", 0, "size=96k") != 0)
    GTEST_SKIP() << "cannot mount a small tmpfs here (needs root)";
  const std::string ballast = disk + "/ballast";
  Outcome full = run(quantize(disk + "/out"));
  const bool refused_before = full.code == 4;
  EXPECT_TRUE(refused_before) << full.code << full.err;
  EXPECT_THAT(full.err, HasSubstr("disk"));
  EXPECT_FALSE(std::filesystem::exists(disk + "/out"));
  umount(disk.c_str());
}

}  // namespace
}  // namespace halftone::test
