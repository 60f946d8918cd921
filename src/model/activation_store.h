// What crosses a calibration stage: one matrix a window, in memory or in a file, as the budget says.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "backend/backend.h"

namespace halftone {

class ActivationStore {
 public:
  // `count` matrices of at most (rows, cols) of `dtype`. `spill_path` empty: in memory, allocated as
  // they are put; else in an unlinked file of that name, so that nothing is left behind.
  ActivationStore(Backend& backend, int64_t count, DType dtype, const std::string& spill_path);
  ~ActivationStore();
  ActivationStore(const ActivationStore&) = delete;
  ActivationStore& operator=(const ActivationStore&) = delete;

  // Copies in and out, converting between f32 and bf16. Throws Error(resources) when the disk is full.
  void put(int64_t index, ConstView x);
  void get(int64_t index, View x);
  // Frees what is held; put may follow, with other shapes.
  void clear();

 private:
  Backend& backend_;
  DType dtype_;
  std::string spill_path_;
  int file_ = -1;
  int64_t slot_bytes_ = 0;       // in the file: the first matrix's size
  std::vector<Tensor> held_;
  HostAllocator host_;
};

}  // namespace halftone
