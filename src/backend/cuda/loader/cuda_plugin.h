// Finding, checking and loading the CUDA plug-in that lies beside the program.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "backend/backend.h"
#include "backend/cuda/loader/cuda_driver.h"

namespace halftone {

// Whether --device auto takes the GPU, and why.
struct CudaChoice {
  bool usable = false;
  std::string reason;  // "NVIDIA H200, 140 GB, CUDA 13.0", or what is missing
};
CudaChoice consider_cuda();

// Why card `index` cannot be used: no driver, one too old, no such card, a card too old. Empty: it
// can.
std::string trouble_with(const CudaDriver& driver, int index);

// `device`: cuda or cuda:N. Throws Error(usage): no driver, a driver or a card too old, no such
// card, a plug-in that is missing or of another build, CUDA's libraries not found.
std::unique_ptr<Backend> make_cuda_backend(std::string_view device, const BackendOptions& options);

}  // namespace halftone
