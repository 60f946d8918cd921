// The small parts of base/: arithmetic, random numbers, cgroups, memory, progress, interrupts.
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <thread>
#include <vector>

#include "base/cgroup.h"
#include "base/checked.h"
#include "base/count_text.h"
#include "base/error.h"
#include "base/file.h"
#include "base/log.h"
#include "base/memory_usage.h"
#include "base/profile.h"
#include "base/progress.h"
#include "base/rng.h"
#include "base/temporary_directory.h"

namespace halftone {
namespace {

TEST(Checked, RefusesToWrap) {
  EXPECT_EQ(checked_add(UINT64_MAX, 1), std::nullopt);
  EXPECT_EQ(checked_multiply(uint64_t{1} << 32, uint64_t{1} << 32), std::nullopt);
  EXPECT_EQ(checked_multiply(6, 7), 42u);
  EXPECT_TRUE(in_bounds(4, 6, 10));
  EXPECT_FALSE(in_bounds(4, 7, 10));
  EXPECT_FALSE(in_bounds(UINT64_MAX, 2, 10));
  EXPECT_TRUE(in_bounds(10, 0, 10));
}

TEST(Error, CarriesHintAndExit) {
  const Error error = bad_input("{}: shape {}", "w", 3).hint("Try another.");
  EXPECT_STREQ(error.what(), "w: shape 3");
  EXPECT_EQ(error.hint(), "Try another.");
  EXPECT_EQ(error.exit(), Exit::bad_input);
}

TEST(Rng, IsSplitMix64) {
  Rng rng(0);  // the sequence of the paper's reference code
  EXPECT_EQ(rng.next(), 0xe220a8397b1dcdafu);
  EXPECT_EQ(rng.next(), 0x6e789e6aa1b965f4u);
  std::vector<int> seen(5);
  for (int i = 0; i < 1000; ++i) {
    ++seen[rng.below(5)];
    const double u = rng.uniform();
    EXPECT_TRUE(0 <= u && u < 1);
  }
  for (const int count : seen) EXPECT_GT(count, 100);
}

void write(const std::string& path, const std::string& text) {
  std::filesystem::create_directories(std::filesystem::path(path).parent_path());
  write_file_atomically(path, text);
}

TEST(Cgroup, ReadsVersionTwoUpToTheRoot) {
  const TemporaryDirectory root;
  EXPECT_EQ(cgroup_processors(root.path()), std::nullopt);
  write(root.file("proc/self/cgroup"), "0::/a/b\n");
  write(root.file("sys/fs/cgroup/a/b/cpu.max"), "max 100000\n");
  write(root.file("sys/fs/cgroup/a/cpu.max"), "150000 100000\n");
  write(root.file("sys/fs/cgroup/a/b/memory.max"), "4096\n");
  write(root.file("sys/fs/cgroup/a/memory.max"), "max\n");
  EXPECT_EQ(cgroup_processors(root.path()), 1.5);
  EXPECT_EQ(cgroup_memory(root.path()), 4096);
  // A container's own view: the path of the host does not exist below its mount.
  write(root.file("proc/self/cgroup"), "0::/host/path\n");
  write(root.file("sys/fs/cgroup/cpu.max"), "300000 100000\n");
  EXPECT_EQ(cgroup_processors(root.path()), 3.0);
}

TEST(Cgroup, ReadsVersionOne) {
  const TemporaryDirectory root;
  write(root.file("proc/self/cgroup"), "5:cpu,cpuacct:/job\n4:memory:/job\n0::/job\n");
  write(root.file("sys/fs/cgroup/cpu/job/cpu.cfs_quota_us"), "200000\n");
  write(root.file("sys/fs/cgroup/cpu/job/cpu.cfs_period_us"), "100000\n");
  write(root.file("sys/fs/cgroup/cpu/cpu.cfs_quota_us"), "-1\n");
  write(root.file("sys/fs/cgroup/memory/job/memory.limit_in_bytes"), "1048576\n");
  write(root.file("sys/fs/cgroup/memory/memory.limit_in_bytes"), "9223372036854771712\n");
  EXPECT_EQ(cgroup_processors(root.path()), 2.0);
  EXPECT_EQ(cgroup_memory(root.path()), 1048576);
}

TEST(Memory, WatchSeesThePeak) {
  constexpr size_t kBytes = size_t{64} << 20;
  const int64_t before = anonymous_memory();
  EXPECT_GT(before, 0);
  EXPECT_GT(memory_limit(), 0);
  const MemoryWatch watch;
  std::vector<char> block(kBytes, 1);
  EXPECT_GE(watch.peak(), before + static_cast<int64_t>(kBytes) * 9 / 10);
  EXPECT_EQ(block[kBytes / 2], 1);
}

TEST(Progress, HumanNumbers) {
  EXPECT_EQ(human_bytes(0), "0 B");
  EXPECT_EQ(human_bytes(999), "999 B");
  EXPECT_EQ(human_bytes(312000), "312 kB");
  EXPECT_EQ(human_bytes(1240000000), "1.24 GB");
  EXPECT_EQ(human_bytes(15'230'000'000), "15.2 GB");
  EXPECT_EQ(human_bytes(999'999), "1.00 MB");
  EXPECT_EQ(human_bytes(9'996), "10.0 kB");
  EXPECT_EQ(human_seconds(0.63), "0.63 s");
  EXPECT_EQ(human_seconds(18.7), "18.7 s");
  EXPECT_EQ(human_seconds(59.96), "1 min 0 s");
  EXPECT_EQ(human_seconds(192), "3 min 12 s");
  EXPECT_EQ(human_seconds(7500), "2 h 5 min");
  EXPECT_EQ(human_count(298862), "298,862");
  EXPECT_EQ(human_count(-1234567), "-1,234,567");
  EXPECT_EQ(human_count(999), "999");
  EXPECT_EQ(human_count(-999), "-999");
  EXPECT_EQ(count_text(0, "window"), "0 windows");
  EXPECT_EQ(count_text(1, "window"), "1 window");
  EXPECT_EQ(count_text(1204, "window"), "1,204 windows");
}

TEST(Progress, TellsTheTimeLeft) {
  ::testing::internal::CaptureStderr();
  Progress progress("Working", 10);
  EXPECT_EQ(progress.seconds_left(), 0);
  progress.update(5, "half");
  EXPECT_LE(progress.seconds_left(), 2 * progress.seconds() + 1);
  progress.finish();
  progress.finish();
  const std::string text = ::testing::internal::GetCapturedStderr();
  EXPECT_EQ(text.find("Working  100%"), 0u) << text;
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 1);
}

TEST(Log, LevelsAreWords) {
  ::testing::internal::CaptureStderr();
  set_up_log(1);
  spdlog::debug("hidden");
  spdlog::info("said");
  spdlog::warn("careful");
  spdlog::error("broken");
  EXPECT_EQ(::testing::internal::GetCapturedStderr(), "said\nwarning: careful\nerror: broken\n");
}

TEST(Profile, AddsUp) {
  Profile profile;
  profile.add("a", {.seconds = 1, .operations = 10});
  profile.add("a", {.seconds = 2, .operations = 20, .bytes = 5});
  { const ProfileScope scope(&profile, "b"); }
  { const ProfileScope scope(nullptr, "c"); }
  EXPECT_EQ(profile.rows().size(), 2u);
  EXPECT_EQ(profile.rows().at("a").seconds, 3);
  EXPECT_EQ(profile.rows().at("a").operations, 30);
  EXPECT_EQ(profile.rows().at("a").bytes, 5);
  EXPECT_EQ(profile.rows().at("b").calls, 1);
}

TEST(Profile, AStageDoesNotCountThoseWithinIt) {
  Profile profile;
  const auto start = std::chrono::steady_clock::now();
  {
    const ProfileScope outer(&profile, "outer");
    for (int i = 0; i < 2; ++i) {
      const ProfileScope inner(&profile, "inner");
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
  }
  const std::chrono::duration<double> all = std::chrono::steady_clock::now() - start;
  EXPECT_GE(profile.rows().at("inner").seconds, .01);
  EXPECT_LE(profile.rows().at("outer").seconds + profile.rows().at("inner").seconds, all.count());
}

TEST(Profile, SettlesWhereAStageBeginsAndEnds) {
  int settled = 0;
  Profile profile([&] { ++settled; });
  {
    const ProfileScope scope(&profile, "a");
    EXPECT_EQ(settled, 1);
  }
  EXPECT_EQ(settled, 2);
}

}  // namespace
}  // namespace halftone
