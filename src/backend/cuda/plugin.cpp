// The plug-in's one function.
#include "backend/cuda/loader/plugin.h"

#include "backend/cuda/cuda_backend.h"

extern "C" const halftone::CudaPlugin* halftone_cuda_plugin() {
  static constexpr halftone::CudaPlugin plugin = {
      .build = HALFTONE_BUILD,
      .make = [](int device, const halftone::BackendOptions& options) -> halftone::Backend* {
        return new halftone::cuda::CudaBackend(device, options);
      }};
  return &plugin;
}
