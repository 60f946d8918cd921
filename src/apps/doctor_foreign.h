// Quantizations that we neither write nor read: what they are, who makes them.
#pragma once

#include <optional>
#include <string>

#include "format/stated_quantization.h"

namespace halftone {

struct ForeignQuantization {
  std::string format;   // runtime_table()'s "fp8", "int8" or "nvfp4"; empty: another
  std::string text;     // "FP8 weights and activations"
  std::string writers;  // "llm-compressor"
};
// Nothing for what our readers open, or say themselves what is wrong with.
std::optional<ForeignQuantization> foreign_quantization(const StatedQuantization& stated);

// One sentence that names them all, with who writes and who runs them.
extern const char* const kNotWrittenHere;

}  // namespace halftone
