// Naive f32 loops, one operation after the other: the readable specification, and the oracle that
// every other backend is tested against.
#pragma once

#include <memory>

#include "backend/backend.h"

namespace halftone {

std::unique_ptr<Backend> make_ref_backend(const BackendOptions& options);

}  // namespace halftone
