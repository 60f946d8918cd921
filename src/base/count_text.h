// "1 window", "1,204 windows".
#pragma once

#include <fmt/core.h>

#include <cstdint>
#include <string>
#include <string_view>

#include "base/progress.h"

namespace halftone {

// `noun` takes an s where there are more of it, or none.
inline std::string count_text(int64_t count, std::string_view noun) {
  return fmt::format("{} {}{}", human_count(count), noun, count == 1 ? "" : "s");
}

}  // namespace halftone
