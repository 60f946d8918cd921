// Tensors on the device or the host, or slots of a temporary file.
#include "model/activation_store.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cassert>
#include <cerrno>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <utility>

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

// Makes `memory` large enough for `elements`.
template <class Allocate>
void grow(Tensor& memory, int64_t elements, Allocate allocate) {
  if (memory.rows() * memory.cols() >= elements) return;
  memory = Tensor();
  memory = allocate(elements);
}

}  // namespace

ActivationStore::ActivationStore(Backend& backend, std::vector<int64_t> rows, DType dtype,
                                 ActivationBudget& budget)
    : backend_(backend),
      dtype_(dtype),
      budget_(budget),
      rows_(std::move(rows)),
      entries_(rows_.size()) {}

ActivationStore::~ActivationStore() {
  release_copies();
  for (Entry& entry : entries_) vacate(entry);
  if (file_ >= 0) close(file_);
}

// Pinned memory may still be on its way to or from the device.
void ActivationStore::free_memory(Entry& entry) {
  if (entry.tier == Tier::host) {
    release_copies();
    backend_.synchronize();
  }
  entry.memory = Tensor();
}

void ActivationStore::vacate(Entry& entry) {
  if (entry.tier == Tier::device) budget_.device_bytes += entry.capacity;
  if (entry.tier == Tier::host) budget_.host_bytes += entry.capacity;
  free_memory(entry);
  entry = Entry();
}

// Whether this one is among those that the device takes. With n left to be placed, of whose bytes a
// share must go elsewhere, those are drawn by multiples of the golden ratio: evenly, and that
// share.
bool ActivationStore::fits_device(int64_t index, int64_t bytes) const {
  const Entry& entry = entries_[static_cast<size_t>(index)];
  const int64_t own = entry.tier == Tier::device ? entry.capacity : 0;
  if (bytes - own > budget_.device_bytes) return false;
  int64_t room = std::min(budget_.device_bytes, int64_t{1} << 60), rows = 0;
  double n = 0;
  for (size_t i = 0; i < entries_.size(); ++i) {
    const Entry& other = entries_[i];
    if (other.capacity >= bytes) continue;
    ++n;
    rows += rows_[i];
    if (other.tier == Tier::device) room += other.capacity;
  }
  const double left = static_cast<double>(rows) /
                      static_cast<double>(rows_[static_cast<size_t>(index)]) *
                      static_cast<double>(bytes);
  constexpr double kGolden = 0.6180339887498949;
  return n * kGolden - std::floor(n * kGolden) >= 1 - static_cast<double>(room) / left;
}

// What a larger matrix leaves behind in the file is lost to it: capacities only grow, so that
// happens once.
void ActivationStore::place(int64_t index, int64_t bytes) {
  Entry& entry = entries_[static_cast<size_t>(index)];
  if (entry.tier != Tier::none && entry.capacity >= bytes) return;
  const bool on_device = fits_device(index, bytes);
  vacate(entry);
  const auto elements = bytes / static_cast<int64_t>(size_of(dtype_));
  const bool elsewhere = bytes <= budget_.host_bytes || !budget_.spill_directory.empty();
  if (on_device || !elsewhere) {
    entry.memory = backend_.allocate(1, elements, dtype_);
    entry.tier = Tier::device;
    budget_.device_bytes -= bytes;
  } else if (bytes <= budget_.host_bytes) {
    entry.memory = Tensor(backend_.transfer_allocator(), 1, elements, dtype_);
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

// The entry's matrix at the beginning of `view`, which is as large or larger.
View ActivationStore::shaped(const Entry& entry, View view) const {
  view.rows = entry.rows;
  view.cols = view.ld = entry.cols;
  return view;
}

ActivationStore::Copy* ActivationStore::copy_of(int64_t index) {
  for (Copy& copy : copies_)
    if (copy.index == index) return &copy;
  return nullptr;
}

// The one that was used before the last: with it the device computes no more when it has done what
// it was given until now. Where the host computes nothing comes beside it, so that one will do.
ActivationStore::Copy& ActivationStore::vacant_copy(int64_t index) {
  turn_ = backend_.runs_beside_host() ? 1 - turn_ : 0;
  Copy& copy = copies_[turn_];
  const Entry& entry = entries_[static_cast<size_t>(index)];
  if (copy.memory.cols() < entry.rows * entry.cols) {
    backend_.wait(Queue::compute, copy.arrived);
    backend_.wait(Queue::compute, copy.left);
    grow(copy.memory, entry.rows * entry.cols,
         [&](int64_t elements) { return backend_.allocate(1, elements, dtype_); });
  }
  copy.index = index;
  return copy;
}

View ActivationStore::make(int64_t index, int64_t rows, int64_t cols) {
  Entry& entry = entries_[static_cast<size_t>(index)];
  if (Copy* stale = copy_of(index)) stale->index = -1;
  place(index, rows * cols * static_cast<int64_t>(size_of(dtype_)));
  entry.rows = rows;
  entry.cols = cols;
  current_ = index;
  if (entry.tier == Tier::device) return shaped(entry, entry.memory);
  const Copy& copy = vacant_copy(index);
  backend_.wait(Queue::compute, copy.arrived);
  backend_.wait(Queue::compute, copy.left);
  return shaped(entry, copy.memory);
}

// Brings a matrix from the host or the file to a copy on the device.
void ActivationStore::fetch(int64_t index) {
  Entry& entry = entries_[static_cast<size_t>(index)];
  Copy& copy = vacant_copy(index);
  const View device = shaped(entry, copy.memory);
  if (entry.tier == Tier::host) {
    const Event after[] = {backend_.record(Queue::compute), copy.left, entry.kept};
    copy.arrived = backend_.transfer(after, shaped(entry, entry.memory), device);
    return;
  }
  backend_.wait(Queue::compute, copy.arrived);
  backend_.wait(Queue::compute, copy.left);
  const View host = staging(entry);
  read_at(file_, host.data, host.bytes(), entry.offset, budget_.spill_directory);
  backend_.upload(host, device);
}

// The next matrix that can be sent for, in the order of a pass; −1: none.
int64_t ActivationStore::next_on_host(int64_t index) const {
  if (!backend_.runs_beside_host()) return -1;
  for (size_t next = static_cast<size_t>(index) + 1; next < entries_.size(); ++next)
    if (entries_[next].tier == Tier::host) return static_cast<int64_t>(next);
  return -1;
}

View ActivationStore::open(int64_t index) {
  const Entry& entry = entries_[static_cast<size_t>(index)];
  assert(entry.tier != Tier::none);
  current_ = index;
  if (entry.tier != Tier::device && !copy_of(index)) fetch(index);
  Copy* copy = entry.tier == Tier::device ? nullptr : copy_of(index);
  if (copy) {
    turn_ = static_cast<size_t>(copy - copies_.data());
    backend_.wait(Queue::compute, copy->arrived);
  }
  const int64_t next = next_on_host(index);
  if (next >= 0 && !copy_of(next)) {
    fetch(next);
    if (copy) turn_ = static_cast<size_t>(copy - copies_.data());
  }
  return shaped(entry, copy ? copy->memory.view() : entry.memory.view());
}

View ActivationStore::staging(const Entry& entry) {
  grow(staging_, entry.rows * entry.cols,
       [&](int64_t elements) { return Tensor(backend_.host_allocator(), 1, elements, dtype_); });
  return shaped(entry, staging_);
}

void ActivationStore::keep() {
  Entry& entry = entries_[static_cast<size_t>(current_)];
  if (entry.tier == Tier::device) return;
  Copy& copy = *copy_of(current_);
  const View device = shaped(entry, copy.memory);
  if (entry.tier == Tier::host) {
    const Event after[] = {backend_.record(Queue::compute), entry.kept};
    copy.left = entry.kept = backend_.transfer(after, device, shaped(entry, entry.memory));
    return;
  }
  const View host = staging(entry);
  backend_.download(device, host);
  write_at(file_, host.data, host.bytes(), entry.offset, budget_.spill_directory);
}

void ActivationStore::release_copies() {
  for (Copy& copy : copies_) {
    if (copy.memory.empty()) continue;
    backend_.wait(Queue::compute, copy.arrived);
    backend_.wait(Queue::compute, copy.left);
    copy = Copy();
  }
}

}  // namespace halftone
