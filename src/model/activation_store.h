// What crosses a calibration stage: one matrix a batch of tokens, on the device, in the host's
// memory or in a file, as the budget says.
#pragma once

#include <array>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "backend/backend.h"

namespace halftone {

// How much activations may take of the device's memory and of the host's; what is left goes to a
// file. What does not fit the device is spread over the matrices, so that, taken one after another,
// it is under way while those on the device are worked on. Shared by the stores of a run, and used
// up as their matrices are made.
struct ActivationBudget {
  int64_t device_bytes = std::numeric_limits<int64_t>::max();
  int64_t host_bytes = 0;       // beside the device's: for a device that has memory of its own
  std::string spill_directory;  // empty: what has no room lies on the device all the same
};

class ActivationStore {
 public:
  // Matrices of about so many rows each, of `dtype`. The file is nameless and lies in the budget's
  // directory, so that nothing is left behind. `backend` and `budget` outlive it.
  ActivationStore(Backend& backend, std::vector<int64_t> rows, DType dtype,
                  ActivationBudget& budget);
  // So many of one size.
  ActivationStore(Backend& backend, int64_t count, DType dtype, ActivationBudget& budget)
      : ActivationStore(backend, std::vector<int64_t>(static_cast<size_t>(count), 1), dtype,
                        budget) {}
  ~ActivationStore();
  ActivationStore(const ActivationStore&) = delete;
  ActivationStore& operator=(const ActivationStore&) = delete;

  DType dtype() const { return dtype_; }
  // Matrix `index`, new, (rows, cols), not initialized; what it held is forgotten, but its memory
  // is used again. Valid until another one is made or opened. Throws Error(bad_input) when the
  // budget's directory cannot hold a file.
  View make(int64_t index, int64_t rows, int64_t cols);
  // Matrix `index` as it was kept: where it lies, or a copy on the device. Valid as make()'s. What
  // lies in the host's memory comes beside the compute queue, and the next such matrix is sent for.
  View open(int64_t index);
  // Says that the matrix made or opened last was written. Throws Error(resources) when the disk is
  // full.
  void keep();
  // Frees the device's copies of what lies elsewhere: they come again when they are opened.
  void release_copies();

 private:
  enum class Tier : uint8_t { none, device, host, disk };
  struct Entry {
    Tier tier = Tier::none;
    int64_t rows = 0, cols = 0;
    int64_t capacity = 0;  // bytes
    int64_t offset = 0;    // in the file
    Tensor memory;         // on the device or on the host
    Event kept = 0;        // the host's memory holds what was last written
  };
  // A place on the device for a matrix that lies elsewhere.
  struct Copy {
    Tensor memory;
    int64_t index = -1;  // of the matrix that it holds, or is about to
    Event arrived = 0;   // it holds it
    Event left = 0;      // what was written has gone to the host
  };

  bool fits_device(int64_t index, int64_t bytes) const;
  void place(int64_t index, int64_t bytes);
  void vacate(Entry& entry);
  void free_memory(Entry& entry);
  View shaped(const Entry& entry, View view) const;
  Copy* copy_of(int64_t index);
  // One whose matrix is not in use, for another one.
  Copy& vacant_copy(int64_t index);
  int64_t next_on_host(int64_t index) const;
  void fetch(int64_t index);
  View staging(const Entry& entry);

  Backend& backend_;
  DType dtype_;
  ActivationBudget& budget_;
  const std::vector<int64_t> rows_;  // as was said: what is still to be placed
  std::vector<Entry> entries_;
  int64_t current_ = -1;        // made or opened last
  std::array<Copy, 2> copies_;  // used in turn: one at work, one on its way
  size_t turn_ = 0;
  Tensor staging_;  // of the host, for what lies in the file
  int file_ = -1;
  int64_t file_bytes_ = 0;
};

}  // namespace halftone
