// A model rewritten as dense safetensors in a Hugging Face directory.
#pragma once

#include <cstdint>
#include <string>

#include "apps/open_model.h"

namespace halftone {

struct ConvertOptions {
  std::string output;
  std::string dtype = "auto";  // bf16, f16, f32; auto: as it is stored, bf16 from a GGUF
  bool force = false;
};

// Returns the bytes of the weight files. Throws Error(usage) when OUT exists, Error(bad_input) when
// a value does not fit the type.
int64_t convert_to_dense(const OpenedModel& model, const ConvertOptions& options);

}  // namespace halftone
