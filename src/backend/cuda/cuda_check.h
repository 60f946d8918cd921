// What CUDA and its libraries answer, turned into Errors that name the operation and its sizes.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>
#include <initializer_list>

namespace halftone::cuda {

// An operation as an error message names it: "linear (2048, 5120, 27648)".
struct Operation {
  const char* name = "";
  int64_t sizes[4] = {-1, -1, -1, -1};  // -1: not given

  Operation(const char* what, std::initializer_list<int64_t> dimensions = {}) : name(what) {
    int count = 0;
    for (int64_t size : dimensions)
      if (count < 4) sizes[count++] = size;
  }
};

// Throws unless `status` is success: Error(resources) when memory is short or the card is lost,
// else Error(bug).
void check(cudaError_t status, const Operation& operation);
// After a kernel's launch.
inline void check_launch(const Operation& operation) { check(cudaGetLastError(), operation); }
// For libraries with codes of their own; `text` is the code's name.
void check_library(bool success, const char* library, int code, const Operation& operation);

}  // namespace halftone::cuda
