// Tensors on the device or the host, or slots of a temporary file.
#include "model/activation_store.h"

#include <fcntl.h>
#include <unistd.h>

#include <cassert>
#include <cerrno>
#include <cstdlib>
#include <cstring>

#include "base/error.h"

namespace halftone {
namespace {

void write_at(int file, const void* data, int64_t bytes, int64_t offset, const std::string& path) {
  const char* from = static_cast<const char*>(data);
  while (bytes > 0) {
    const ssize_t done = pwrite(file, from, static_cast<size_t>(bytes), offset);
    if (done < 0 && errno == EINTR) continue;
    if (done <= 0)
      throw out_of_resources("{}: cannot store activations: {}", path, std::strerror(errno))
          .hint("free disk space, raise --max-memory, or pass fewer --samples.");
    from += done;
    offset += done;
    bytes -= done;
  }
}

void read_at(int file, void* data, int64_t bytes, int64_t offset, const std::string& path) {
  char* to = static_cast<char*>(data);
  while (bytes > 0) {
    const ssize_t done = pread(file, to, static_cast<size_t>(bytes), offset);
    if (done < 0 && errno == EINTR) continue;
    if (done <= 0)
      throw out_of_resources("{}: cannot read activations back: {}", path, std::strerror(errno));
    to += done;
    offset += done;
    bytes -= done;
  }
}

// A file of its own in `directory` that vanishes with its descriptor.
int open_nameless(const std::string& directory) {
  int file = ::open(directory.c_str(), O_RDWR | O_TMPFILE | O_CLOEXEC, 0600);
  if (file >= 0) return file;
  std::string name = directory + "/.halftone-activations-XXXXXX";  // not on every file system
  file = mkostemp(name.data(), O_CLOEXEC);
  if (file < 0) throw bad_input("{}: cannot hold activations: {}", directory, std::strerror(errno));
  unlink(name.c_str());
  return file;
}

// (rows, cols) of `memory`, which is made larger when it has to be.
template <class Allocate>
View shaped(Tensor& memory, int64_t rows, int64_t cols, Allocate allocate) {
  if (memory.rows() * memory.cols() < rows * cols) {
    memory = Tensor();
    memory = allocate(rows * cols);
  }
  View view = memory;
  view.rows = rows;
  view.cols = view.ld = cols;
  return view;
}

}  // namespace

ActivationStore::ActivationStore(Backend& backend, int64_t count, DType dtype,
                                 ActivationBudget& budget)
    : backend_(backend), dtype_(dtype), budget_(budget), entries_(static_cast<size_t>(count)) {}

ActivationStore::~ActivationStore() {
  for (Entry& entry : entries_) vacate(entry);
  if (file_ >= 0) close(file_);
}

void ActivationStore::vacate(Entry& entry) {
  if (entry.tier == Tier::device) budget_.device_bytes += entry.capacity;
  if (entry.tier == Tier::host) budget_.host_bytes += entry.capacity;
  entry = Entry();
}

// What a larger matrix leaves behind in the file is lost to it: capacities only grow, so that
// happens once.
void ActivationStore::place(Entry& entry, int64_t bytes) {
  if (entry.tier != Tier::none && entry.capacity >= bytes) return;
  vacate(entry);
  const auto elements = bytes / static_cast<int64_t>(size_of(dtype_));
  if (bytes <= budget_.device_bytes || budget_.spill_directory.empty()) {
    entry.memory = backend_.allocate(1, elements, dtype_);
    entry.tier = Tier::device;
    budget_.device_bytes -= bytes;
  } else if (bytes <= budget_.host_bytes) {
    entry.memory = Tensor(backend_.host_allocator(), 1, elements, dtype_);
    entry.tier = Tier::host;
    budget_.host_bytes -= bytes;
  } else {
    if (file_ < 0) file_ = open_nameless(budget_.spill_directory);
    entry.tier = Tier::disk;
    entry.offset = file_bytes_;
    file_bytes_ += bytes;
  }
  entry.capacity = bytes;
}

View ActivationStore::on_device(const Entry& entry) {
  View view = entry.memory;
  if (entry.tier != Tier::device)
    return shaped(opened_, entry.rows, entry.cols,
                  [&](int64_t elements) { return backend_.allocate(1, elements, dtype_); });
  view.rows = entry.rows;
  view.cols = view.ld = entry.cols;
  return view;
}

View ActivationStore::on_host(const Entry& entry) {
  View view = entry.memory;
  if (entry.tier != Tier::host)
    return shaped(staging_, entry.rows, entry.cols, [&](int64_t elements) {
      return Tensor(backend_.host_allocator(), 1, elements, dtype_);
    });
  view.rows = entry.rows;
  view.cols = view.ld = entry.cols;
  return view;
}

View ActivationStore::make(int64_t index, int64_t rows, int64_t cols) {
  Entry& entry = entries_[static_cast<size_t>(index)];
  place(entry, rows * cols * static_cast<int64_t>(size_of(dtype_)));
  entry.rows = rows;
  entry.cols = cols;
  current_ = &entry;
  return on_device(entry);
}

View ActivationStore::open(int64_t index) {
  Entry& entry = entries_[static_cast<size_t>(index)];
  assert(entry.tier != Tier::none);
  current_ = &entry;
  const View view = on_device(entry);
  if (entry.tier == Tier::device) return view;
  const View host = on_host(entry);
  if (entry.tier == Tier::disk)
    read_at(file_, host.data, host.bytes(), entry.offset, budget_.spill_directory);
  backend_.upload(host, view);
  return view;
}

void ActivationStore::keep() {
  const Entry& entry = *current_;
  if (entry.tier == Tier::device) return;
  const View host = on_host(entry);
  backend_.download(on_device(entry), host);
  if (entry.tier == Tier::disk)
    write_at(file_, host.data, host.bytes(), entry.offset, budget_.spill_directory);
}

}  // namespace halftone
