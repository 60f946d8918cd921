#include "base/mapped_ranges.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <fstream>
#include <thread>

#include "base/error.h"
#include "base/file.h"
#include "base/mmap.h"
#include "base/temporary_directory.h"
#include "base/thread_pool.h"

namespace halftone {
namespace {

using ::testing::HasSubstr;

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool kSanitized = true;
#else
constexpr bool kSanitized = false;
#endif

constexpr size_t kPages = 8;

size_t page() { return static_cast<size_t>(::sysconf(_SC_PAGESIZE)); }

std::string write_pages(const TemporaryDirectory& place, const std::string& name) {
  write_file_atomically(place.file(name), std::string(kPages * page(), 'x'));
  return place.file(name);
}

void touch(const MappedFile& file, size_t index) {
  static_cast<void>(*static_cast<const volatile std::byte*>(&file.bytes()[index * page()]));
}

std::string message_of(const std::function<void()>& call) {
  try {
    call();
  } catch (const Error& error) {
    EXPECT_EQ(error.exit(), Exit::bad_input);
    EXPECT_THAT(error.hint(), HasSubstr("--resume"));
    return error.what();
  }
  return "no error";
}

// In a process of their own, which ends.
TEST(MappedRangeDeathTest, AFileThatShrinksEndsTheProgramWithALineAndItsCode) {
  const TemporaryDirectory place;
  const std::string path = write_pages(place, "model.gguf");
  EXPECT_EXIT(
      {
        watch_for_lost_files();
        const MappedFile file(path);
        touch(file, 5);
        std::filesystem::resize_file(path, 2 * page());
        touch(file, 1);
        touch(file, 5);
        std::exit(0);
      },
      testing::ExitedWithCode(3),
      "halftone: .*model.gguf: became shorter .*: got [0-9]+ bytes, expected [0-9]+\n +put the "
      "whole file back.*--resume");
}

TEST(MappedRangeDeathTest, InAnyThreadAndMoved) {
  const TemporaryDirectory place;
  const std::string path = write_pages(place, "model.gguf"), other = write_pages(place, "other");
  EXPECT_EXIT(
      {
        watch_for_lost_files();
        { const MappedFile gone(other); }  // its entry is used again
        MappedFile first(path);
        const MappedFile second(other);
        const MappedFile file = std::move(first);
        std::filesystem::resize_file(path, 0);
        ThreadPool pool(3);
        pool.parallel_for(kPages, 1, [&](int64_t begin, int64_t) {
          touch(second, static_cast<size_t>(begin));
          touch(file, static_cast<size_t>(begin));
        });
        std::exit(0);
      },
      testing::ExitedWithCode(3), "model.gguf: became shorter");
}

// The frame of a signal goes to memory of its own.
TEST(MappedRange, ThreadsOfThePoolHaveAStackForSignals) {
  ThreadPool pool(3);
  std::atomic<int> without = 0;
  pool.parallel_for(64, 1, [&, caller = std::this_thread::get_id()](int64_t, int64_t) {
    stack_t stack;
    ::sigaltstack(nullptr, &stack);
    if (std::this_thread::get_id() != caller && (stack.ss_flags & SS_DISABLE)) ++without;
    std::this_thread::yield();
  });
  EXPECT_EQ(without, 0);
}

TEST(MappedRangeDeathTest, AnyOtherBusErrorDoesWhatItDid) {
  if (kSanitized) GTEST_SKIP() << "the sanitizer takes SIGBUS itself";
  const TemporaryDirectory place;
  const std::string path = write_pages(place, "foreign");
  EXPECT_EXIT(
      {
        watch_for_lost_files();
        const FileDescriptor file(path, O_RDWR);
        auto* data = static_cast<volatile char*>(
            ::mmap(nullptr, page(), PROT_READ, MAP_SHARED, file.number(), 0));
        std::filesystem::resize_file(path, 0);
        std::exit(data[0]);
      },
      testing::KilledBySignal(SIGBUS), "");
  EXPECT_EXIT(
      {
        watch_for_lost_files();
        ::raise(SIGBUS);
        std::exit(0);
      },
      testing::KilledBySignal(SIGBUS), "");
}

TEST(MappedRange, ALookNamesTheFileThatIsNoLongerWhatItWas) {
  const TemporaryDirectory place;
  const std::string path = write_pages(place, "a"), second = write_pages(place, "b");
  const MappedFile file(path);
  check_mapped_files();
  {
    const MappedFile other(second);
    std::filesystem::resize_file(second, 1);
    EXPECT_EQ(message_of(check_mapped_files),
              fmt::format("{}: became shorter while it was being read: got 1 bytes, expected {}",
                          second, kPages * page()));
  }
  check_mapped_files();  // what nobody has mapped is nobody's trouble
}

// write(2) reads the mapping for us: EFAULT, and the file that is written is not to blame.
TEST(MappedRange, AFileLostWhileItIsCopiedIsNamed) {
  const TemporaryDirectory place;
  const std::string path = write_pages(place, "model");
  const MappedFile file(path);
  std::filesystem::resize_file(path, 0);
  const FileDescriptor copy(place.file("copy"), O_WRONLY | O_CREAT);
  EXPECT_THAT(message_of([&] { copy.write_at(0, file.bytes()); }),
              HasSubstr(path + ": became shorter"));
}

}  // namespace
}  // namespace halftone
