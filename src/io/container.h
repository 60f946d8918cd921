// What safetensors and GGUF have in common: named byte ranges of a mapped file.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/mmap.h"

namespace halftone {

// One tensor of a file. `type` is the container's own name of it ("BF16", "Q4_K").
struct ContainerEntry {
  std::string name;
  std::string type;
  std::vector<int64_t> shape;        // outermost first, as Hugging Face writes it
  std::span<const std::byte> bytes;  // within the mapped file, bounds checked
  std::string file;                  // for errors
};

}  // namespace halftone
