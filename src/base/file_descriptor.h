// An open file whose failures are named: a full disk is Exit::resources, everything else bad input.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "base/error.h"

namespace halftone {

// "path: cannot be written: No space left on device", with the exit code that the number calls for.
Error file_error(const std::string& path, const char* failed, int error_number);

class FileDescriptor {
 public:
  FileDescriptor() = default;
  // `flags` as of open(2); O_CLOEXEC is added. Throws file_error().
  FileDescriptor(std::string path, int flags);
  ~FileDescriptor();
  FileDescriptor(FileDescriptor&& other) noexcept;
  FileDescriptor& operator=(FileDescriptor&& other) noexcept;

  int number() const { return number_; }
  const std::string& path() const { return path_; }
  int64_t size() const;

  // All of `bytes` at `offset`, however the system cuts them.
  void write_at(int64_t offset, std::span<const std::byte> bytes) const;
  // Fills `bytes`; Error(bad_input) when the file ends before.
  void read_at(int64_t offset, std::span<std::byte> bytes) const;
  void sync() const;  // contents and size reach the disk
  void truncate(int64_t size) const;
  // Gives it this size, and takes the disk space now where the file system can: a full disk shows
  // before the work and not after it.
  void reserve(int64_t size) const;
  void close();  // reports what close(2) does, unlike the destructor

 private:
  std::string path_;
  int number_ = -1;
};

// What was renamed or created in `directory` reaches the disk.
void sync_directory(const std::string& directory);

}  // namespace halftone
