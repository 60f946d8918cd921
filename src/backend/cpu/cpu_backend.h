// x86-64 processors: dense products through oneDNN, factorizations through LAPACK, the rest our own
// kernels, one .cpp an operation.
#pragma once

#include <memory>

#include "backend/backend.h"

namespace halftone {

std::unique_ptr<Backend> make_cpu_backend(const BackendOptions& options);

}  // namespace halftone
