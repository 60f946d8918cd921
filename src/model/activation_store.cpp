// Tensors on the device, or fixed slots of a temporary file.
#include "model/activation_store.h"

#include <fcntl.h>
#include <unistd.h>

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

}  // namespace

ActivationStore::ActivationStore(Backend& backend, int64_t count, DType dtype,
                                 const std::string& spill_directory)
    : backend_(backend),
      dtype_(dtype),
      spill_directory_(spill_directory),
      held_(static_cast<size_t>(count)),
      written_(static_cast<size_t>(count)) {
  if (spill_directory_.empty()) return;
  file_ = open_nameless(spill_directory_);
}

ActivationStore::~ActivationStore() {
  if (file_ >= 0) close(file_);
}

View ActivationStore::open(int64_t index, int64_t rows, int64_t cols) {
  Tensor& memory = file_ < 0 ? held_[static_cast<size_t>(index)] : opened_;
  if (memory.rows() * memory.cols() < rows * cols) {
    memory = Tensor();
    memory = backend_.allocate(rows, cols, dtype_);
  }
  View view = memory;
  view.rows = rows;
  view.cols = view.ld = cols;
  shape_ = view;
  if (file_ < 0) return view;
  if (staging_.rows() != rows || staging_.cols() != cols)
    staging_ = Tensor(host_, rows, cols, dtype_);
  if (written_[static_cast<size_t>(index)]) {
    read_at(file_, staging_.view().data, staging_.bytes(), index * staging_.bytes(),
            spill_directory_);
    backend_.upload(staging_, view);
  }
  return view;
}

void ActivationStore::keep(int64_t index) {
  if (file_ < 0) return;
  backend_.download(shape_, staging_);
  write_at(file_, staging_.view().data, staging_.bytes(), index * staging_.bytes(),
           spill_directory_);
  written_[static_cast<size_t>(index)] = true;
}

void ActivationStore::clear() { written_.assign(written_.size(), false); }

}  // namespace halftone
