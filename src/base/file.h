// Files written whole or not at all.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>

namespace halftone {

std::string read_file(const std::string& path);  // Error(bad_input) when it cannot be read
// Calls visit(block) with `block` bytes after the other, the last time with fewer, until it returns
// false. Error(bad_input) when the file cannot be read.
void read_file_in_blocks(const std::string& path, size_t block,
                         const std::function<bool(std::string_view)>& visit);
// Writes beside `path`, syncs, renames; of a symbolic link, beside what it stands for. A device or
// a pipe (/dev/stdout, /dev/null) is written to. Error(resources) when the disk is full,
// Error(bad_input) when it is not writable.
void write_file_atomically(const std::string& path, std::string_view text);
void copy_file_bytes(const std::string& from, const std::string& to);
// The name of a directory to be made: no slash at its end (shells add one).
std::string directory_name(std::string path);
// Throws Error(bad_input) when a file of this name could not be written: found before hours of
// work.
void check_writable(const std::string& path);
// Throws Error(bad_input) when no directory of that name can be made: tried beside it, and undone.
void check_creatable(const std::string& path);
int64_t free_disk_bytes(
    const std::string& path);  // of the file system that holds path or its parent

// Throws Error(usage) when `path` is a file, or a directory that holds other directories: nothing
// that this program wrote, and not to be deleted for --force.
void check_replaceable(const std::string& path);

// A directory that is filled under a temporary name beside its place and published by one rename;
// left unpublished, it is deleted.
class PendingDirectory {
 public:
  // Error(bad_input) when the parent is missing or not writable.
  explicit PendingDirectory(std::string final_path);
  ~PendingDirectory();
  PendingDirectory(const PendingDirectory&) = delete;
  PendingDirectory& operator=(const PendingDirectory&) = delete;
  const std::string& path() const { return temporary_; }
  // Syncs what was written, then renames. An existing directory is exchanged for the new one and
  // then deleted when `replace`, else Error(usage); one that fails check_replaceable() stays.
  void publish(bool replace);

 private:
  std::string final_, temporary_;
  int lock_ = -1;  // held while the temporary directory is in use: others may delete it without
  bool published_ = false;
};

}  // namespace halftone
