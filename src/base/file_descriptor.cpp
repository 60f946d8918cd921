#include "base/file_descriptor.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "base/mapped_ranges.h"

namespace halftone {
namespace {

constexpr size_t kLargestTransfer = size_t{1} << 30;  // Linux cuts at 2 GB

}  // namespace

Error file_error(const std::string& path, const char* failed, int error_number) {
  const bool full = error_number == ENOSPC || error_number == EDQUOT || error_number == EFBIG ||
                    error_number == ENOMEM || error_number == EMFILE || error_number == ENFILE;
  return Error(full ? Exit::resources : Exit::bad_input,
               fmt::format("{}: {}: {}", path, failed, std::strerror(error_number)));
}

FileDescriptor::FileDescriptor(std::string path, int flags) : path_(std::move(path)) {
  number_ = ::open(path_.c_str(), flags | O_CLOEXEC, 0666);
  if (number_ < 0) {
    const bool writes = (flags & O_ACCMODE) != O_RDONLY;
    throw file_error(path_, writes ? "cannot be written" : "cannot be read", errno);
  }
}

FileDescriptor::~FileDescriptor() {
  if (number_ >= 0) ::close(number_);
}

FileDescriptor::FileDescriptor(FileDescriptor&& other) noexcept
    : path_(std::move(other.path_)), number_(std::exchange(other.number_, -1)) {}

FileDescriptor& FileDescriptor::operator=(FileDescriptor&& other) noexcept {
  std::swap(path_, other.path_);
  std::swap(number_, other.number_);
  return *this;
}

int64_t FileDescriptor::size() const {
  struct stat status;
  if (::fstat(number_, &status) != 0) throw file_error(path_, "cannot be read", errno);
  return status.st_size;
}

void FileDescriptor::write_at(int64_t offset, std::span<const std::byte> bytes) const {
  while (!bytes.empty()) {
    const ssize_t written =
        ::pwrite(number_, bytes.data(), std::min(bytes.size(), kLargestTransfer), offset);
    if (written < 0 && errno == EINTR) continue;
    const int error = written < 0 ? errno : 0;
    if (error == EFAULT) refuse_lost_address(bytes.data());
    if (error != 0) throw file_error(path_, "cannot be written", error);
    bytes = bytes.subspan(static_cast<size_t>(written));
    offset += written;
  }
}

void FileDescriptor::read_at(int64_t offset, std::span<std::byte> bytes) const {
  while (!bytes.empty()) {
    const ssize_t got =
        ::pread(number_, bytes.data(), std::min(bytes.size(), kLargestTransfer), offset);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) throw file_error(path_, "cannot be read", errno);
    if (got == 0) throw bad_input("{}: ends at byte {}, expected more", path_, offset);
    bytes = bytes.subspan(static_cast<size_t>(got));
    offset += got;
  }
}

void FileDescriptor::sync() const {
  if (::fdatasync(number_) != 0 && errno != EINVAL && errno != EROFS)
    throw file_error(path_, "cannot be written", errno);
}

void FileDescriptor::truncate(int64_t size) const {
  if (::ftruncate(number_, size) != 0) throw file_error(path_, "cannot be written", errno);
}

void FileDescriptor::reserve(int64_t size) const {
  int result;
  do result = ::fallocate(number_, 0, 0, size);
  while (result != 0 && errno == EINTR);
  if (result != 0 && errno != EOPNOTSUPP && errno != ENOSYS && errno != EINVAL)
    throw file_error(path_, "cannot be written", errno);
  truncate(size);
}

void FileDescriptor::close() {
  if (number_ < 0) return;
  if (::close(std::exchange(number_, -1)) != 0 && errno != EINTR)
    throw file_error(path_, "cannot be written", errno);
}

void sync_directory(const std::string& directory) {
  const FileDescriptor handle(directory.empty() ? "." : directory, O_RDONLY | O_DIRECTORY);
  handle.sync();
}

}  // namespace halftone
