#include "io/journal.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>

#include "base/caught_error.h"
#include "base/error.h"
#include "base/file.h"
#include "base/log.h"
#include "base/rng.h"
#include "base/temporary_directory.h"

namespace halftone {
namespace {
namespace fs = std::filesystem;

const std::map<std::string, std::string> kJob = {{"model", "abc"}, {"seed", "0"}};

std::vector<std::byte> payload(size_t size, uint64_t seed) {
  std::vector<std::byte> bytes(size);
  Rng rng(seed);
  for (std::byte& byte : bytes) byte = static_cast<std::byte>(rng.next());
  return bytes;
}

bool contains(const Error& error, const std::string& part) {
  return std::string(error.what()).find(part) != std::string::npos;
}

// Three records, the middle one empty.
void write_example(const std::string& path) {
  Journal journal = Journal::open(path, kJob, false);
  journal.append("layer 0", payload(100, 1));
  journal.append("layer 1", {});
  journal.append("layer 2", payload(37, 2));
}

// Keeps the log's lines about torn records out of the test's output.
class Quiet {
 public:
  explicit Quiet(spdlog::level::level_enum level = spdlog::level::warn) {
    spdlog::set_level(level);
  }
  ~Quiet() { spdlog::set_level(spdlog::level::info); }
  Quiet(const Quiet&) = delete;
  Quiet& operator=(const Quiet&) = delete;
};

std::vector<std::byte> payload_of(const std::string& name) {
  return name == "layer 0" ? payload(100, 1) : name == "layer 1" ? payload(0, 0) : payload(37, 2);
}

TEST(Journal, WorkedExample) {
  const TemporaryDirectory place;
  const std::string path = place.file("out.journal");
  write_example(path);
  Journal journal = Journal::open(path, kJob, true);
  EXPECT_EQ(journal.names(), (std::vector<std::string>{"layer 0", "layer 1", "layer 2"}));
  EXPECT_TRUE(journal.has("layer 1"));
  EXPECT_FALSE(journal.has("layer 3"));
  EXPECT_FALSE(journal.has("fingerprint"));
  EXPECT_EQ(journal.read("layer 0"), payload(100, 1));
  EXPECT_TRUE(journal.read("layer 1").empty());
  EXPECT_EQ(journal.bytes(), static_cast<int64_t>(fs::file_size(path)));
  journal.append("layer 3", payload(5, 3));
  EXPECT_EQ(journal.read("layer 3"), payload(5, 3));
  EXPECT_EQ(caught([&] { journal.append("layer 3", {}); }).exit(), Exit::bug);
  journal.remove();
  EXPECT_FALSE(fs::exists(path));
}

TEST(Journal, TruncatedAnywhereARecordIsWholeOrGone) {
  const Quiet quiet;
  const TemporaryDirectory place(TemporaryDirectory::in_memory());
  const std::string path = place.file("out.journal"), cut = place.file("cut.journal");
  write_example(path);
  const std::string whole = read_file(path);
  size_t most = 0;
  for (size_t size = 0; size <= whole.size(); ++size) {
    write_file_atomically(cut, whole.substr(0, size));
    size_t kept = 0;
    {
      Journal journal = Journal::open(cut, kJob, true);
      kept = journal.names().size();
      EXPECT_GE(kept, most) << size;
      most = kept;
      for (size_t i = 0; i < kept; ++i) {
        const std::string name = "layer " + std::to_string(i);
        ASSERT_EQ(journal.names()[i], name);
        ASSERT_EQ(journal.read(name), payload_of(name));
      }
      journal.append("next", payload(9, 9));
    }
    const Journal again = Journal::open(cut, kJob, true);
    ASSERT_EQ(again.names().size(), kept + 1) << size;
    ASSERT_EQ(again.read("next"), payload(9, 9)) << size;
  }
  EXPECT_EQ(most, 3u);
}

// A flipped bit costs the record that it hits and those behind it, and a copy of the file stays.
TEST(Journal, FlippedAnywhereTheRecordsBeforeItGoOn) {
  const Quiet quiet(spdlog::level::err);
  const TemporaryDirectory place(TemporaryDirectory::in_memory());
  const std::string path = place.file("out.journal"), bad = place.file("bad.journal");
  std::vector<size_t> ends;  // of the records, the fingerprint's first
  {
    Journal journal = Journal::open(path, kJob, false);
    ends.push_back(static_cast<size_t>(journal.bytes()));
    for (const char* name : {"layer 0", "layer 1", "layer 2"}) {
      journal.append(name, payload_of(name));
      ends.push_back(static_cast<size_t>(journal.bytes()));
    }
  }
  const std::string whole = read_file(path);
  ASSERT_EQ(whole.size(), ends.back());
  for (size_t at = 16; at < whole.size(); ++at) {  // behind the file's own header
    std::string text = whole;
    text[at] = static_cast<char>(text[at] ^ (1 << at % 8));
    write_file_atomically(bad, text);
    if (at < ends[0]) {
      for (const bool resume : {false, true}) {
        const Error error = caught([&] { Journal::open(bad, kJob, resume); });
        ASSERT_EQ(error.exit(), Exit::bad_input) << at;
        ASSERT_TRUE(contains(error, bad)) << error.what();
      }
      ASSERT_EQ(read_file(bad), text) << "refusing harms nothing";
      continue;
    }
    ASSERT_EQ(caught([&] { Journal::open(bad, kJob, false); }).exit(), Exit::usage);
    const Journal journal = Journal::open(bad, kJob, true);
    size_t before = 0;
    while (ends[before + 1] <= at) ++before;
    ASSERT_EQ(journal.names().size(), before) << at;
    for (const std::string& name : journal.names()) ASSERT_EQ(journal.read(name), payload_of(name));
    if (at < ends[2]) {
      ASSERT_EQ(read_file(bad + ".damaged"), text) << at;
      fs::remove(bad + ".damaged");
    } else {  // the last record: as if it had been being written
      ASSERT_FALSE(fs::exists(bad + ".damaged")) << at;
    }
  }
}

TEST(Journal, RefusesAnotherRunsJournal) {
  const TemporaryDirectory place;
  const std::string path = place.file("out.journal");
  write_example(path);
  const Error exists = caught([&] { Journal::open(path, kJob, false); });
  EXPECT_EQ(exists.exit(), Exit::usage);
  EXPECT_NE(exists.hint().find("--resume"), std::string::npos);
  const Error differs = caught([&] {
    Journal::open(path, {{"model", "abd"}, {"seed", "0"}, {"bits", "4"}}, true);
  });
  EXPECT_EQ(differs.exit(), Exit::usage);
  EXPECT_EQ(differs.what(), path +
                                ": belongs to another run: bits differs (was nothing, is 4); "
                                "model differs (was abc, is abd)");
  EXPECT_EQ(Journal::open(path, kJob, true).names().size(), 3u) << "refusing harms nothing";
}

// Hashing a model takes as long as its first layers, which are kept meanwhile.
TEST(Journal, LearnsLateWhoseItIs) {
  const TemporaryDirectory place;
  const std::string path = place.file("out.journal");
  std::promise<std::string> hash;
  {
    Journal journal = Journal::open(path, kJob, false);
    journal.append_when_known("model hash", hash.get_future());
    journal.append("layer 0", payload(100, 1));
    EXPECT_FALSE(journal.has("model hash"));
    hash.set_value("abc");
    EXPECT_FALSE(journal.has("model hash")) << "only beside work";
    journal.append("layer 1", {});
    EXPECT_TRUE(journal.has("model hash"));
  }
  Journal::Fingerprint job = kJob;
  EXPECT_EQ(Journal::open(path, job, true).fingerprint(), kJob) << "who does not ask need not know";
  job["model hash"] = "abc";
  EXPECT_EQ(Journal::open(path, job, true).read("layer 0"), payload(100, 1));
  job["model hash"] = "abd";
  const Error differs = caught([&] { Journal::open(path, job, true); });
  EXPECT_EQ(differs.what(),
            path + ": belongs to another run: model hash differs (was abc, is abd)");
}

TEST(Journal, IsFreshUntilSomethingIsKept) {
  const TemporaryDirectory place;
  const std::string path = place.file("out.journal");
  std::promise<std::string> hash;
  hash.set_value("abc");
  {
    Journal journal = Journal::open(path, kJob, false);
    EXPECT_EQ(journal.fingerprint(), kJob);
    journal.append_when_known("model hash", hash.get_future());
  }
  EXPECT_TRUE(Journal::open(path, false).fresh());
}

TEST(Journal, LeavesOtherPeoplesFilesAlone) {
  const TemporaryDirectory place;
  for (const std::string text : {"x", "important notes, not a journal"}) {
    write_file_atomically(place.file("f"), text);
    for (const bool resume : {false, true})
      EXPECT_EQ(caught([&] { Journal::open(place.file("f"), kJob, resume); }).exit(),
                Exit::bad_input);
    EXPECT_EQ(caught([&] { Journal::discard(place.file("f")); }).exit(), Exit::bad_input);
    EXPECT_EQ(read_file(place.file("f")), text);
  }
  fs::create_directory(place.file("d"));
  EXPECT_EQ(caught([&] { Journal::open(place.file("d"), kJob, true); }).exit(), Exit::bad_input);
  EXPECT_EQ(caught([&] { Journal::open(place.file("no/j"), kJob, true); }).exit(), Exit::bad_input);
}

TEST(Journal, DiscardsAndStartsAgain) {
  const TemporaryDirectory place;
  const std::string path = place.file("out.journal");
  Journal::discard(path);  // nothing there: nothing to do
  write_example(path);
  Journal::discard(path);
  EXPECT_TRUE(Journal::open(path, {{"other", "job"}}, false).names().empty());
}

TEST(Journal, ASecondRunIsRefusedWhileTheFirstLives) {
  const TemporaryDirectory place;
  const std::string path = place.file("out.journal");
  int pipe_ends[2];
  ASSERT_EQ(::pipe(pipe_ends), 0);
  const pid_t child = ::fork();
  if (child == 0) {
    Journal journal = Journal::open(path, kJob, false);
    journal.append("layer 0", payload(10, 1));
    if (::write(pipe_ends[1], "x", 1) == 1)
      for (;;) ::pause();
    ::_exit(1);
  }
  char byte;
  ASSERT_EQ(::read(pipe_ends[0], &byte, 1), 1);
  for (const bool resume : {false, true}) {
    const Error error = caught([&] { Journal::open(path, kJob, resume); });
    EXPECT_EQ(error.exit(), Exit::usage);
    EXPECT_TRUE(contains(error, "(process " + std::to_string(child) + ")")) << error.what();
  }
  EXPECT_EQ(caught([&] { Journal::discard(path); }).exit(), Exit::usage);
  ::kill(child, SIGKILL);
  ::waitpid(child, nullptr, 0);
  EXPECT_EQ(Journal::open(path, kJob, true).read("layer 0"), payload(10, 1));
}

// Appends until killed, at a different moment each time: what append() returned for is there.
TEST(Journal, KilledWhileWritingItKeepsWhatWasAppended) {
  const TemporaryDirectory place;
  const std::string path = place.file("out.journal");
  for (int round = 0; round < 10; ++round) {
    int pipe_ends[2];
    ASSERT_EQ(::pipe(pipe_ends), 0);
    const pid_t child = ::fork();
    if (child == 0) {
      Journal journal = Journal::open(path, kJob, true);
      for (size_t i = journal.names().size();; ++i) {
        journal.append(std::to_string(i), payload(200000, i));
        if (::write(pipe_ends[1], "x", 1) != 1) ::_exit(1);
      }
    }
    ::close(pipe_ends[1]);
    char byte;
    for (int i = 0; i <= round % 3; ++i) ASSERT_EQ(::read(pipe_ends[0], &byte, 1), 1);
    ::usleep(static_cast<useconds_t>(137 * round));
    ::kill(child, SIGKILL);
    ::waitpid(child, nullptr, 0);
    size_t promised = static_cast<size_t>(round % 3) + 1;
    while (::read(pipe_ends[0], &byte, 1) == 1) ++promised;
    ::close(pipe_ends[0]);
    const Journal journal = Journal::open(path, kJob, true);
    ASSERT_GE(journal.names().size(), promised);
    for (size_t i = 0; i < journal.names().size(); ++i)
      ASSERT_EQ(journal.read(std::to_string(i)), payload(200000, i));
  }
}

TEST(Journal, FullDiskLeavesItUsable) {
  const TemporaryDirectory place;
  if (::mount("tmpfs", place.path().c_str(), "tmpfs", 0, "size=256k") != 0)
    GTEST_SKIP() << "a small file system cannot be mounted here: " << std::strerror(errno);
  const std::string path = place.file("out.journal");
  {
    Journal journal = Journal::open(path, kJob, false);
    journal.append("small", payload(1000, 1));
    const Error error = caught([&] { journal.append("large", payload(1 << 20, 2)); });
    EXPECT_EQ(error.exit(), Exit::resources);
    EXPECT_TRUE(contains(error, path + ": cannot be written: No space left")) << error.what();
    EXPECT_FALSE(journal.has("large"));
    journal.append("after", payload(1000, 3));
  }
  {
    const Journal journal = Journal::open(path, kJob, true);
    EXPECT_EQ(journal.names(), (std::vector<std::string>{"small", "after"}));
    EXPECT_EQ(journal.read("after"), payload(1000, 3));
  }
  EXPECT_EQ(
      caught([&] { write_file_atomically(place.file("f"), std::string(1 << 20, 'x')); }).exit(),
      Exit::resources);
  EXPECT_FALSE(fs::exists(place.file("f")));
  ::umount(place.path().c_str());
}

}  // namespace
}  // namespace halftone
