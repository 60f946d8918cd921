#include "base/mapped_ranges.h"

#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <mutex>
#include <string_view>
#include <utility>

#include "base/error.h"

namespace halftone {

// Entries are never freed, only used again: a handler walks them without a lock. It reads no more
// of an entry than its bounds unless the fault lies within, and then the owner is still there.
struct MappedRange::Entry {
  std::atomic<uintptr_t> begin = 0, end = 0;  // equal: nobody's
  FileDescriptor file;
  int64_t size = 0;
  Entry* next = nullptr;
};

namespace {

using Entry = MappedRange::Entry;

// A signal handler takes no argument of ours: all of this is for it.
std::atomic<Entry*> entries = nullptr;
std::atomic<bool> telling = false;
std::mutex changes;
struct sigaction previous_action = {};
bool on_terminal = false;

constexpr const char* kShorter = "became shorter while it was being read: got ";
constexpr const char* kExpected = " bytes, expected ";
constexpr const char* kUnreadable = "cannot be read any more (disk or network share) at byte ";
constexpr const char* kHint =
    "put the whole file back and run it again; what `halftone quantize` has finished is in its "
    "journal: --resume goes on.";

const Entry* entry_at(const void* address) {
  const auto wanted = reinterpret_cast<uintptr_t>(address);
  for (const Entry* entry = entries; entry; entry = entry->next)
    if (entry->begin <= wanted && wanted < entry->end) return entry;
  return nullptr;
}

// What may be called in a handler; that it fails is no news to anybody.
void say(std::string_view text) {
  [[maybe_unused]] const ssize_t written = ::write(STDERR_FILENO, text.data(), text.size());
}

void say_number(uint64_t value) {
  char digits[20];
  char* first = std::end(digits);
  do {
    *--first = static_cast<char>('0' + value % 10);
    value /= 10;
  } while (value != 0);
  say({first, static_cast<size_t>(std::end(digits) - first)});
}

void tell(const Entry& entry, const void* address) {
  struct stat status;
  const bool known = ::fstat(entry.file.number(), &status) == 0;
  say(on_terminal ? "\nhalftone: " : "halftone: ");
  say(entry.file.path());
  say(": ");
  if (known && status.st_size < entry.size) {
    say(kShorter);
    say_number(static_cast<uint64_t>(status.st_size));
    say(kExpected);
    say_number(static_cast<uint64_t>(entry.size));
  } else {
    say(kUnreadable);
    say_number(reinterpret_cast<uintptr_t>(address) - entry.begin);
  }
  say("\n          ");
  say(kHint);
  say("\n");
}

void on_bus_error(int signal, siginfo_t* info, void*) {
  const bool by_kernel = info->si_code > 0;
  const Entry* entry = by_kernel ? entry_at(info->si_addr) : nullptr;
  if (entry) {
    while (telling.exchange(true)) ::pause();  // another thread does, and ends the process
    tell(*entry, info->si_addr);
    ::_exit(static_cast<int>(Exit::bad_input));
  }
  // Not ours: what was set before takes it, on the way back to the same instruction.
  ::sigaction(SIGBUS, &previous_action, nullptr);
  if (!by_kernel) ::raise(signal);
}

void check(const Entry& entry) {
  struct stat status;
  if (::fstat(entry.file.number(), &status) != 0)
    throw file_error(entry.file.path(), "cannot be read", errno).hint(kHint);
  if (status.st_size < entry.size)
    throw bad_input("{}: {}{}{}{}", entry.file.path(), kShorter, status.st_size, kExpected,
                    entry.size)
        .hint(kHint);
}

}  // namespace

MappedRange::MappedRange(FileDescriptor file, std::span<const std::byte> bytes) {
  const std::lock_guard lock(changes);
  entry_ = entries;
  while (entry_ && entry_->end != 0) entry_ = entry_->next;
  const bool fresh = entry_ == nullptr;
  if (fresh) entry_ = new Entry;
  entry_->file = std::move(file);
  entry_->size = static_cast<int64_t>(bytes.size());
  entry_->begin = reinterpret_cast<uintptr_t>(bytes.data());
  entry_->end = reinterpret_cast<uintptr_t>(bytes.data() + bytes.size());
  if (!fresh) return;
  entry_->next = entries;
  entries = entry_;
}

MappedRange::~MappedRange() {
  const std::lock_guard lock(changes);
  entry_->end = 0;
  entry_->begin = 0;
  entry_->file = FileDescriptor();
}

void watch_for_lost_files() {
  on_terminal = ::isatty(STDERR_FILENO) == 1;
  struct sigaction action = {};
  action.sa_sigaction = on_bus_error;
  action.sa_flags = SA_SIGINFO | SA_ONSTACK;
  ::sigaction(SIGBUS, &action, &previous_action);
}

void check_mapped_files() {
  const std::lock_guard lock(changes);
  for (const Entry* entry = entries; entry; entry = entry->next)
    if (entry->end != 0) check(*entry);
}

void refuse_lost_address(const void* address) {
  const Entry* entry = entry_at(address);
  if (!entry) return;
  check(*entry);
  throw bad_input("{}: {}{}", entry->file.path(), kUnreadable,
                  reinterpret_cast<uintptr_t>(address) - entry->begin)
      .hint(kHint);
}

SignalStack::SignalStack() {
  stack_t present;
  if (::sigaltstack(nullptr, &present) != 0 || !(present.ss_flags & SS_DISABLE)) return;
  // A frame holds all registers: 3 KB with AVX-512, 11 with AMX.
  const size_t size = std::max<size_t>(64 << 10, static_cast<size_t>(SIGSTKSZ));
  memory_.reset(new std::byte[size]);  // not touched before it is needed
  stack_t stack = {};
  stack.ss_sp = memory_.get();
  stack.ss_size = size;
  if (::sigaltstack(&stack, nullptr) != 0) memory_.reset();
}

SignalStack::~SignalStack() {
  if (!memory_) return;
  stack_t none = {};
  none.ss_flags = SS_DISABLE;
  ::sigaltstack(&none, nullptr);
}

}  // namespace halftone
