#include "base/mmap.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "base/error.h"
#include "base/file_descriptor.h"
#include "base/mapped_ranges.h"

namespace halftone {

MappedFile::MappedFile(const std::string& path) : path_(path) {
  // A pipe without a writer would block: O_NONBLOCK lets us see what it is.
  FileDescriptor file(path, O_RDONLY | O_NONBLOCK);
  struct stat status;
  if (::fstat(file.number(), &status) != 0) throw file_error(path, "cannot be read", errno);
  if (!S_ISREG(status.st_mode)) throw bad_input("{}: is not a regular file", path);
  if (status.st_size == 0) throw bad_input("{}: is empty", path);
  size_ = static_cast<size_t>(status.st_size);
  void* data = ::mmap(nullptr, size_, PROT_READ, MAP_SHARED, file.number(), 0);
  if (data == MAP_FAILED) throw file_error(path, "cannot be mapped", errno);
  data_ = static_cast<const std::byte*>(data);
  range_ = std::make_unique<MappedRange>(std::move(file), bytes());
}

MappedFile::~MappedFile() {
  range_.reset();
  if (data_) ::munmap(const_cast<std::byte*>(data_), size_);
}

MappedFile::MappedFile(MappedFile&& other) noexcept
    : path_(std::move(other.path_)),
      data_(std::exchange(other.data_, nullptr)),
      size_(std::exchange(other.size_, 0)),
      range_(std::move(other.range_)) {}

MappedFile& MappedFile::operator=(MappedFile&& other) noexcept {
  std::swap(path_, other.path_);
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  std::swap(range_, other.range_);
  return *this;
}

void MappedFile::forget(std::span<const std::byte> range) const {
  // Whole pages within the range: its neighbours may still be in use.
  const uintptr_t page = static_cast<uintptr_t>(::sysconf(_SC_PAGESIZE));
  const uintptr_t begin = (reinterpret_cast<uintptr_t>(range.data()) + page - 1) / page * page;
  const uintptr_t end = reinterpret_cast<uintptr_t>(range.data() + range.size()) / page * page;
  if (begin < end) ::madvise(reinterpret_cast<void*>(begin), end - begin, MADV_DONTNEED);
}

}  // namespace halftone
