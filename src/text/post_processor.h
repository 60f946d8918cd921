// tokenizer.json's "post_processor": the special tokens around a text.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/json.h"

namespace halftone {

struct PostProcessor {
  std::vector<int32_t> before, after;
};

// null: nothing. Throws Error(bad_input) for a type or an option that is not known. Known:
// Sequence, ByteLevel (about offsets only), TemplateProcessing.
PostProcessor read_post_processor(const Json& json, const std::string& origin);

}  // namespace halftone
