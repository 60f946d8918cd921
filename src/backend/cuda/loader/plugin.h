// What the program and the CUDA plug-in must agree on: one C function, which says what it was built
// from before anything else of it is called.
#pragma once

#include "backend/backend.h"

namespace halftone {

struct CudaPlugin {
  const char* build;  // "0.1.0 (commit)": anything but the program's own is refused
  // A backend on the card of this index; throws Error. The caller owns it.
  Backend* (*make)(int device, const BackendOptions& options);
};

inline constexpr const char* kCudaPluginSymbol = "halftone_cuda_plugin";
using CudaPluginFunction = const CudaPlugin* (*)();

}  // namespace halftone
