// How much of what was released the host's allocator keeps for the next request of the same size,
// where its limit leaves room.
#pragma once

#include <cstdint>

namespace halftone {

constexpr int64_t kMostKept = int64_t{128} << 20;

}  // namespace halftone
