// The mapped files that are in use. Reading one that was cut short since, or whose disk fails, is
// no error that a call returns: the kernel sends SIGBUS, to whichever thread touches the page. So a
// handler has to know what file an address belongs to.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>

#include "base/file_descriptor.h"

namespace halftone {

// One mapped file, known to the handler while this lives.
class MappedRange {
 public:
  struct Entry;
  // `bytes` is the mapping of all of `file`.
  MappedRange(FileDescriptor file, std::span<const std::byte> bytes);
  ~MappedRange();
  MappedRange(const MappedRange&) = delete;
  MappedRange& operator=(const MappedRange&) = delete;

 private:
  Entry* entry_;
};

// From now on a SIGBUS within a mapped file ends the program with one line that names the file, and
// exit code 3. Any other SIGBUS does what it did before.
void watch_for_lost_files();

// Throws Error(bad_input) when a mapped file is shorter than when it was opened: for the places
// where a look is cheap, so that most losses end as other errors do.
void check_mapped_files();
// The same for a system call that could not read from `address`: does nothing when no mapped file
// lies there.
void refuse_lost_address(const void* address);

// Memory for the handlers that ask for a stack of their own, of the thread that made it and as long
// as this lives: a thread may stand on a stack too small for a signal's frame (oneDNN's products
// do).
class SignalStack {
 public:
  SignalStack();
  ~SignalStack();
  SignalStack(const SignalStack&) = delete;
  SignalStack& operator=(const SignalStack&) = delete;

 private:
  std::unique_ptr<std::byte[]> memory_;  // null: the thread had one
};

}  // namespace halftone
