#include "base/file.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>

#include "base/caught_error.h"
#include "base/error.h"
#include "base/file_descriptor.h"
#include "base/mmap.h"
#include "base/sha256.h"
#include "base/temporary_directory.h"

namespace halftone {
namespace {
namespace fs = std::filesystem;
using ::testing::HasSubstr;

TEST(File, WritesWholeAndReadsBack) {
  const TemporaryDirectory place;
  const std::string text = std::string(3 << 20, 'x') + "\0end";
  write_file_atomically(place.file("a"), text);
  write_file_atomically(place.file("a"), text + "2");
  EXPECT_EQ(read_file(place.file("a")), text + "2");
  copy_file_bytes(place.file("a"), place.file("b"));
  EXPECT_EQ(read_file(place.file("b")), text + "2");
  EXPECT_EQ(std::distance(fs::directory_iterator(place.path()), fs::directory_iterator()), 2)
      << "no temporary file is left";
  EXPECT_GT(read_file("/proc/self/status").size(), 100u) << "of no size, but not empty";
  EXPECT_GT(free_disk_bytes(place.file("not/there/yet")), 0);
}

TEST(File, NamesWhatCannotBeRead) {
  const TemporaryDirectory place;
  const Error missing = caught([&] { read_file(place.file("none")); });
  EXPECT_EQ(missing.exit(), Exit::bad_input);
  EXPECT_EQ(missing.what(), place.file("none") + ": cannot be read: No such file or directory");
  EXPECT_THAT(caught([&] { read_file(place.path()); }).what(), HasSubstr("is a directory"));
  const Error nowhere = caught([&] { write_file_atomically(place.file("none/a"), "x"); });
  EXPECT_EQ(nowhere.exit(), Exit::bad_input);
  EXPECT_THAT(nowhere.what(), HasSubstr("cannot be written"));
}

// Run as root, `--report /dev/null` must not make a file of it.
TEST(File, DevicesAndPipesAreWrittenToAndLinksStay) {
  const TemporaryDirectory place;
  const std::string pipe = place.file("pipe"), link = place.file("link");
  ASSERT_EQ(::mkfifo(pipe.c_str(), 0600), 0);
  const FileDescriptor reader(pipe, O_RDWR);
  check_writable(pipe);
  write_file_atomically(pipe, "words");
  char words[5] = {};
  EXPECT_EQ(::read(reader.number(), words, sizeof words), 5);
  EXPECT_EQ(std::string(words, 5), "words");
  EXPECT_EQ(fs::status(pipe).type(), fs::file_type::fifo);
  write_file_atomically(place.file("a"), "1");
  fs::create_symlink("a", link);
  write_file_atomically(link, "2");
  EXPECT_TRUE(fs::is_symlink(link));
  EXPECT_EQ(read_file(place.file("a")), "2");
  EXPECT_EQ(std::distance(fs::directory_iterator(place.path()), fs::directory_iterator()), 3);
}

TEST(FileDescriptor, FullDiskIsAResource) {
  if (!fs::exists("/dev/full")) GTEST_SKIP() << "no /dev/full here";
  const FileDescriptor full("/dev/full", O_WRONLY);
  const Error error = caught([&] { full.write_at(0, std::as_bytes(std::span("x"))); });
  EXPECT_EQ(error.exit(), Exit::resources);
  EXPECT_THAT(error.what(), HasSubstr("No space left"));
}

TEST(PendingDirectory, SaysThatItsParentIsMissing) {
  const TemporaryDirectory place;
  write_file_atomically(place.file("a"), "");
  EXPECT_THAT(caught([&] { PendingDirectory(place.file("none/out")); }).what(),
              HasSubstr("none is not there, expected a directory"));
  EXPECT_THAT(caught([&] { PendingDirectory(place.file("a/out")); }).what(),
              HasSubstr("a is a file, expected a directory"));
}

TEST(PendingDirectory, AppearsWholeOrNotAtAll) {
  const TemporaryDirectory place;
  const std::string out = place.file("out");
  {
    PendingDirectory pending(out + "/");
    write_file_atomically(pending.path() + "/a", "1");
    EXPECT_FALSE(fs::exists(out));
  }
  EXPECT_TRUE(fs::is_empty(place.path())) << "unpublished, it is deleted";
  {
    PendingDirectory pending(out);
    write_file_atomically(pending.path() + "/a", "1");
    pending.publish(false);
  }
  EXPECT_EQ(read_file(out + "/a"), "1");
  {
    PendingDirectory pending(out);
    write_file_atomically(pending.path() + "/b", "2");
    EXPECT_EQ(caught([&] { pending.publish(false); }).exit(), Exit::usage);
    pending.publish(true);
  }
  EXPECT_FALSE(fs::exists(out + "/a"));
  EXPECT_EQ(read_file(out + "/b"), "2");
  EXPECT_EQ(std::distance(fs::directory_iterator(place.path()), fs::directory_iterator()), 1);
}

TEST(PendingDirectory, FillsWhatALinkNames) {
  const TemporaryDirectory place;
  fs::create_directories(place.file("disk/model"));
  fs::create_symlink(place.file("disk/model"), place.file("link"));
  PendingDirectory pending(place.file("link"));
  EXPECT_TRUE(pending.path().starts_with(place.file("disk/"))) << pending.path();
  write_file_atomically(pending.path() + "/config.json", "{}");
  pending.publish(true);
  EXPECT_TRUE(fs::is_symlink(place.file("link")));
  EXPECT_EQ(read_file(place.file("disk/model/config.json")), "{}");
}

TEST(PendingDirectory, DoesNotReplaceATree) {
  const TemporaryDirectory place;
  fs::create_directories(place.file("home/photos"));
  PendingDirectory pending(place.file("home"));
  EXPECT_EQ(caught([&] { pending.publish(true); }).exit(), Exit::usage);
  EXPECT_TRUE(fs::exists(place.file("home/photos")));
}

TEST(PendingDirectory, RefusesAMissingParentAndClearsLeftovers) {
  const TemporaryDirectory place;
  EXPECT_EQ(caught([&] { PendingDirectory(place.file("none/out")); }).exit(), Exit::bad_input);
  fs::create_directory(place.file(".out.partial-1-0"));  // of a process that was killed
  PendingDirectory first(place.file("out"));
  EXPECT_FALSE(fs::exists(place.file(".out.partial-1-0")));
  PendingDirectory second(place.file("out"));
  EXPECT_TRUE(fs::exists(first.path())) << "in use: not a leftover";
}

TEST(MappedFile, MapsAndRefuses) {
  const TemporaryDirectory place;
  write_file_atomically(place.file("a"), "hello");
  MappedFile file(place.file("a"));
  EXPECT_EQ(file.bytes().size(), 5u);
  EXPECT_EQ(file.bytes()[1], std::byte{'e'});
  file.forget(file.bytes());
  MappedFile moved = std::move(file);
  EXPECT_EQ(moved.bytes()[4], std::byte{'o'});
  EXPECT_TRUE(file.bytes().empty());  // NOLINT: what is left after the move
  write_file_atomically(place.file("empty"), "");
  EXPECT_THAT(caught([&] { MappedFile(place.file("empty")); }).what(), HasSubstr("is empty"));
  EXPECT_THAT(caught([&] { MappedFile(place.file("none")); }).what(), HasSubstr("No such file"));
  EXPECT_THAT(caught([&] { MappedFile(place.path()); }).what(), HasSubstr("not a regular file"));
  ASSERT_EQ(::mkfifo(place.file("pipe").c_str(), 0600), 0);
  EXPECT_THAT(caught([&] { MappedFile(place.file("pipe")); }).what(),
              HasSubstr("not a regular file"));
}

TEST(Sha256, KnownDigests) {  // FIPS 180-2, appendix B
  EXPECT_EQ(sha256_of("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(sha256_of(""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(Sha256().add("a").add("bc").hex(), sha256_of("abc"));
}

}  // namespace
}  // namespace halftone
