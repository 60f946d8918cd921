// PendingDirectory of base/file.h: a directory that appears whole or not at all.
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <filesystem>

#include "base/error.h"
#include "base/file.h"
#include "base/file_descriptor.h"

namespace halftone {
namespace fs = std::filesystem;
namespace {

// Opens and locks a directory; -1 when another process holds it or the file system has no locks.
int try_lock(const std::string& directory) {
  const int handle = ::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (handle >= 0 && ::flock(handle, LOCK_EX | LOCK_NB) == 0) return handle;
  if (handle >= 0) ::close(handle);
  return -1;
}

// Deletes what killed processes left under our temporary names.
void remove_leftovers(const fs::path& parent, const std::string& prefix) {
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(parent, ignored)) {
    if (!entry.path().filename().string().starts_with(prefix)) continue;
    const int lock = try_lock(entry.path().string());
    if (lock < 0) continue;
    fs::remove_all(entry.path(), ignored);
    ::close(lock);
  }
}

// Moves the directory into its place; what stood there comes back under the temporary name.
void swap_into_place(const std::string& temporary, const std::string& final_path) {
  if (::renameat2(AT_FDCWD, temporary.c_str(), AT_FDCWD, final_path.c_str(), RENAME_EXCHANGE) == 0)
    return;
  if (errno != EINVAL && errno != ENOSYS) throw file_error(final_path, "cannot be replaced", errno);
  // This file system cannot exchange: two renames.
  const std::string old = temporary + ".old";
  if (::rename(final_path.c_str(), old.c_str()) != 0)
    throw file_error(final_path, "cannot be replaced", errno);
  if (::rename(temporary.c_str(), final_path.c_str()) != 0) {
    const int failure = errno;
    ::rename(old.c_str(), final_path.c_str());
    throw file_error(final_path, "cannot be replaced", failure);
  }
  ::rename(old.c_str(), temporary.c_str());
}

void move_into_place(const std::string& temporary, const std::string& final_path) {
  if (::renameat2(AT_FDCWD, temporary.c_str(), AT_FDCWD, final_path.c_str(), RENAME_NOREPLACE) == 0)
    return;
  if ((errno == EINVAL || errno == ENOSYS) && ::rename(temporary.c_str(), final_path.c_str()) == 0)
    return;
  throw file_error(final_path, "cannot be written", errno);
}

}  // namespace

void check_replaceable(const std::string& path) {
  std::error_code ignored;
  if (!fs::exists(path, ignored)) return;
  if (!fs::is_directory(path, ignored))
    throw usage_error("{}: is a file, expected a directory of ours: not replaced", path)
        .hint("Delete it yourself, or name another output.");
  for (const auto& entry : fs::directory_iterator(path, ignored)) {
    if (entry.is_directory(ignored) && !entry.is_symlink(ignored))
      throw usage_error("{}: holds a directory ({}), expected only files: not replaced", path,
                        entry.path().filename().string())
          .hint("Delete it yourself, or name another output.");
  }
}

PendingDirectory::PendingDirectory(std::string final_path) {
  while (final_path.size() > 1 && final_path.back() == '/') final_path.pop_back();
  final_ = std::move(final_path);
  // A link keeps its target's place, and its disk.
  std::error_code unknown;
  if (fs::is_symlink(final_, unknown) && fs::is_directory(final_, unknown))
    final_ = fs::canonical(final_).string();
  const fs::path place = fs::path(final_);
  const fs::path parent = place.has_parent_path() ? place.parent_path() : fs::path(".");
  const std::string name = place.filename().string();
  if (name.empty() || name == "." || name == "..")
    throw usage_error("{}: cannot be created, expected the name of a new directory", final_);
  std::error_code ignored;
  if (!fs::is_directory(parent, ignored)) check_creatable(final_);  // says what is wrong
  const std::string prefix = "." + name + ".partial-";
  remove_leftovers(parent, prefix);
  for (int attempt = 0;; ++attempt) {
    temporary_ = (parent / fmt::format("{}{}-{}", prefix, ::getpid(), attempt)).string();
    if (::mkdir(temporary_.c_str(), 0777) == 0) break;
    if (errno != EEXIST) throw file_error(final_, "cannot be created", errno);
  }
  lock_ = try_lock(temporary_);
}

PendingDirectory::~PendingDirectory() {
  std::error_code ignored;
  if (!published_) fs::remove_all(temporary_, ignored);
  if (lock_ >= 0) ::close(lock_);
}

void PendingDirectory::publish(bool replace) {
  std::error_code ignored;
  for (const auto& entry : fs::recursive_directory_iterator(temporary_)) {
    if (entry.is_regular_file()) FileDescriptor(entry.path().string(), O_RDONLY).sync();
    if (entry.is_directory()) sync_directory(entry.path().string());
  }
  sync_directory(temporary_);
  const bool exists = fs::exists(fs::symlink_status(final_, ignored));
  if (exists && !replace)
    throw usage_error("{}: exists already", final_).hint("Pass --force to replace it.");
  if (exists) {
    check_replaceable(final_);
    swap_into_place(temporary_, final_);
    fs::remove_all(temporary_, ignored);
  } else {
    move_into_place(temporary_, final_);
  }
  published_ = true;
  sync_directory(fs::path(final_).parent_path().string());
}

}  // namespace halftone
