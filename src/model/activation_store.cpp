// Tensors on the device, or fixed slots of a temporary file.
#include "model/activation_store.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
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

}  // namespace

ActivationStore::ActivationStore(Backend& backend, int64_t count, DType dtype,
                                 const std::string& spill_path)
    : backend_(backend), dtype_(dtype), spill_path_(spill_path), held_(static_cast<size_t>(count)) {
  if (spill_path_.empty()) return;
  file_ = open(spill_path_.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  if (file_ < 0)
    throw bad_input("{}: cannot be created: {}", spill_path_, std::strerror(errno));
  unlink(spill_path_.c_str());
}

ActivationStore::~ActivationStore() {
  if (file_ >= 0) close(file_);
}

void ActivationStore::put(int64_t index, ConstView x) {
  Tensor& slot = held_[static_cast<size_t>(index)];
  if (file_ < 0) {
    if (slot.rows() != x.rows || slot.cols() != x.cols)
      slot = backend_.allocate(x.rows, x.cols, dtype_);
    backend_.copy(x, slot);
    return;
  }
  const Tensor staging(host_, x.rows, x.cols, dtype_);
  backend_.download(x, staging);
  if (slot_bytes_ == 0) slot_bytes_ = staging.bytes();
  if (staging.bytes() > slot_bytes_) throw internal_error("activation store: matrices grew");
  write_at(file_, staging.view().data, staging.bytes(), index * slot_bytes_, spill_path_);
}

void ActivationStore::get(int64_t index, View x) {
  if (file_ < 0) {
    backend_.copy(held_[static_cast<size_t>(index)], x);
    return;
  }
  const Tensor staging(host_, x.rows, x.cols, dtype_);
  read_at(file_, staging.view().data, staging.bytes(), index * slot_bytes_, spill_path_);
  backend_.upload(staging, x);
}

void ActivationStore::clear() {
  for (Tensor& tensor : held_) tensor = Tensor();
  slot_bytes_ = 0;
}

}  // namespace halftone
