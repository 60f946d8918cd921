// One GGUF file as it stands, parts of a split model not merged yet.
#pragma once

#include <map>
#include <span>
#include <string>
#include <vector>

#include "io/gguf.h"

namespace halftone {

struct GgufPart {
  std::map<std::string, GgufValue> keys;
  std::vector<ContainerEntry> entries;  // by offset
};

// `path` is named in errors; the entries point into `bytes`. Throws Error(bad_input).
GgufPart parse_gguf(std::span<const std::byte> bytes, const std::string& path);

}  // namespace halftone
