// What crosses a calibration stage: one matrix a window, in memory or in a file, as the budget
// says.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "backend/backend.h"

namespace halftone {

class ActivationStore {
 public:
  // `count` matrices of `dtype`. `spill_directory` empty: in memory, allocated when they are first
  // opened; else in a nameless file there, so that nothing is left behind.
  ActivationStore(Backend& backend, int64_t count, DType dtype, const std::string& spill_directory);
  ~ActivationStore();
  ActivationStore(const ActivationStore&) = delete;
  ActivationStore& operator=(const ActivationStore&) = delete;

  DType dtype() const { return dtype_; }
  // Matrix `index` as (rows, cols): where it lies, or a copy of what is in the file. Valid until
  // another one is opened. All matrices between two clear()s have the same shape.
  View open(int64_t index, int64_t rows, int64_t cols);
  // Says that the open matrix was changed. Throws Error(resources) when the disk is full.
  void keep(int64_t index);
  // Forgets everything; open() may follow, with another shape. The memory is kept for it: the next
  // stage and the next block want it again.
  void clear();

 private:
  Backend& backend_;
  DType dtype_;
  std::string spill_directory_;
  int file_ = -1;
  std::vector<Tensor> held_;   // in memory
  std::vector<bool> written_;  // in the file
  Tensor opened_, staging_;    // of the file: on the device, on the host
  View shape_;                 // what is open
  HostAllocator host_;
};

}  // namespace halftone
