// A file mapped read-only.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>

namespace halftone {

class MappedRange;

// What happens when the file shrinks or cannot be read while it is mapped: base/mapped_ranges.h.
class MappedFile {
 public:
  // Throws Error(bad_input) when the file is missing, empty, not a regular file or unreadable.
  explicit MappedFile(const std::string& path);
  ~MappedFile();
  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&& other) noexcept;

  std::span<const std::byte> bytes() const { return {data_, size_}; }
  const std::string& path() const { return path_; }
  // Hints that [begin, begin + size) will not be needed again soon.
  void forget(std::span<const std::byte> range) const;

 private:
  std::string path_;
  const std::byte* data_ = nullptr;
  size_t size_ = 0;
  std::unique_ptr<MappedRange> range_;
};

}  // namespace halftone
