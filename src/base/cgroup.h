// What a container or service manager lets this process use: cgroup v1 and v2 limits.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace halftone {

// Processors' worth of time, as 1.5; nothing where there is no limit. `root` stands before /proc
// and /sys (tests).
std::optional<double> cgroup_processors(const std::string& root = "");
// Bytes; nothing where there is no limit.
std::optional<int64_t> cgroup_memory(const std::string& root = "");

}  // namespace halftone
