#include "base/file.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <vector>

#include "base/error.h"
#include "base/file_descriptor.h"
#include "base/shell_quote.h"

namespace halftone {
namespace fs = std::filesystem;
namespace {

std::span<const std::byte> bytes_of(std::string_view text) {
  return std::as_bytes(std::span(text.data(), text.size()));
}

// The file that `path` stands for; itself where there is none yet.
std::string behind_links(const std::string& path) {
  std::error_code none;
  const fs::path real = fs::canonical(path, none);
  return none ? path : real.string();
}

// A device or a pipe, which no file must take the place of.
bool is_special(const std::string& path) {
  std::error_code none;
  const fs::file_status status = fs::status(path, none);
  return fs::exists(status) && !fs::is_regular_file(status) && !fs::is_directory(status);
}

// A file beside `path` that takes its name when committed and vanishes otherwise.
class PendingFile {
 public:
  explicit PendingFile(const std::string& path) : final_(behind_links(path)) {
    const fs::path place(final_);
    const std::string name = fmt::format(".{}.{}.partial", place.filename().string(), ::getpid());
    file_ = FileDescriptor((place.parent_path() / name).string(), O_WRONLY | O_CREAT | O_TRUNC);
  }
  ~PendingFile() {
    if (!committed_) ::unlink(file_.path().c_str());
  }
  PendingFile(const PendingFile&) = delete;
  PendingFile& operator=(const PendingFile&) = delete;

  const FileDescriptor& file() const { return file_; }
  void commit() {
    file_.sync();
    const std::string temporary = file_.path();
    if (::rename(temporary.c_str(), final_.c_str()) != 0)
      throw file_error(final_, "cannot be written", errno);
    committed_ = true;
    sync_directory(fs::path(final_).parent_path().string());
  }

 private:
  std::string final_;
  FileDescriptor file_;
  bool committed_ = false;
};

// An open regular file; a directory can be opened but not read, and a pipe has no size.
FileDescriptor open_regular(const std::string& path) {
  FileDescriptor file(path, O_RDONLY);
  struct stat status;
  if (::fstat(file.number(), &status) != 0) throw file_error(path, "cannot be read", errno);
  if (S_ISDIR(status.st_mode)) throw bad_input("{}: is a directory, expected a file", path);
  return file;
}

// Fills `bytes` from where the file is read; fewer at its end.
size_t read_some(const FileDescriptor& file, std::span<char> bytes) {
  size_t size = 0;
  while (size < bytes.size()) {
    const ssize_t got = ::read(file.number(), bytes.data() + size, bytes.size() - size);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) throw file_error(file.path(), "cannot be read", errno);
    if (got == 0) break;
    size += static_cast<size_t>(got);
  }
  return size;
}

}  // namespace

std::string read_file(const std::string& path) {
  const FileDescriptor file = open_regular(path);
  // Read to the end rather than to the size: pipes and /proc have none.
  std::string text(static_cast<size_t>(file.size()) + 1, '\0');
  for (size_t size = 0;;) {
    size += read_some(file, std::span(text).subspan(size));
    if (size < text.size()) {
      text.resize(size);
      return text;
    }
    text.resize(2 * size + 4096);
  }
}

void read_file_in_blocks(const std::string& path, size_t block,
                         const std::function<bool(std::string_view)>& visit) {
  const FileDescriptor file = open_regular(path);
  std::string bytes(block, '\0');
  for (size_t size = block; size == block;) {
    size = read_some(file, bytes);
    if (size > 0 && !visit(std::string_view(bytes).substr(0, size))) return;
  }
}

namespace {

void write_to_special(const std::string& path, std::string_view text) {
  const FileDescriptor file(path, O_WRONLY);
  while (!text.empty()) {
    const ssize_t written = ::write(file.number(), text.data(), text.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) throw file_error(path, "cannot be written", errno);
    text.remove_prefix(static_cast<size_t>(written));
  }
}

}  // namespace

void write_file_atomically(const std::string& path, std::string_view text) {
  if (is_special(path)) return write_to_special(path, text);
  PendingFile pending(path);
  pending.file().write_at(0, bytes_of(text));
  pending.commit();
}

void copy_file_bytes(const std::string& from, const std::string& to) {
  const FileDescriptor source = open_regular(from);
  PendingFile pending(to);
  std::vector<std::byte> buffer(size_t{1} << 20);
  for (int64_t offset = 0, size = source.size(); offset < size;) {
    const auto chunk = std::span(buffer).first(
        static_cast<size_t>(std::min<int64_t>(size - offset, static_cast<int64_t>(buffer.size()))));
    source.read_at(offset, chunk);
    pending.file().write_at(offset, chunk);
    offset += static_cast<int64_t>(chunk.size());
  }
  pending.commit();
}

int64_t free_disk_bytes(const std::string& path) {
  fs::path place = fs::absolute(path);
  std::error_code ignored;
  while (!fs::exists(place, ignored) && place.has_relative_path()) place = place.parent_path();
  struct statvfs status;
  if (::statvfs(place.c_str(), &status) != 0)
    throw file_error(place.string(), "cannot be read", errno);
  return static_cast<int64_t>(status.f_bavail) * static_cast<int64_t>(status.f_frsize);
}

std::string directory_name(std::string path) {
  while (path.size() > 1 && path.back() == '/') path.pop_back();
  return path;
}

void check_writable(const std::string& path) {
  std::error_code ignored;
  if (std::filesystem::is_directory(path, ignored))
    throw bad_input("{}: is a directory, expected a file to write", path)
        .hint("name a file in it.");
  const bool special = is_special(path);
  std::string place = special ? path : fs::path(behind_links(path)).parent_path().string();
  if (place.empty()) place = ".";
  if (access(place.c_str(), special ? W_OK : W_OK | X_OK) != 0)
    throw bad_input("{}: cannot be written: {}", path, std::strerror(errno))
        .hint("name a file in a directory that is there and that you may write to.");
}

void check_creatable(const std::string& path) {
  fs::path parent = fs::path(path).parent_path();
  if (parent.empty()) parent = ".";
  std::error_code ignored;
  if (!fs::exists(parent, ignored))
    throw bad_input("{}: cannot be created: {} is not there, expected a directory", path,
                    parent.string())
        .hint(fmt::format("mkdir -p {}, or pass another -o.", shell_quoted(parent.string())));
  if (!fs::is_directory(parent, ignored))
    throw bad_input("{}: cannot be created: {} is a file, expected a directory", path,
                    parent.string())
        .hint("pass another -o.");
  const std::string probe = (parent / fmt::format(".halftone-{}", ::getpid())).string();
  if (::mkdir(probe.c_str(), 0777) != 0)
    throw bad_input("{}: cannot be created: {} takes no new directory: {}", path, parent.string(),
                    std::strerror(errno))
        .hint("pass an -o in a directory that you may write to.");
  ::rmdir(probe.c_str());
}

}  // namespace halftone
