// What --max-memory says: "8G" for the device that computes, or "device=8G,host=32G".
#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace halftone {

// Bytes; 0 where nothing was said.
struct MemoryLimits {
  int64_t device = 0, host = 0;
};
// Nothing for what is not a size, is said twice or names another memory.
std::optional<MemoryLimits> parse_memory_limits(const std::string& text);

// human_bytes() of `bytes` or the next more that it can say: as a limit, it is no less.
std::string enough_bytes(int64_t bytes);

}  // namespace halftone
