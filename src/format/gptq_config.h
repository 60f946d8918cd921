// What a GPTQ checkpoint says of its own packing, in any of the spellings in use.
#pragma once

#include <optional>
#include <string>

#include "format/gptq.h"
#include "io/checkpoint.h"

namespace halftone {

struct GptqConfig {
  std::string origin;  // the file, for errors
  Grid grid;
  GptqVersion version = GptqVersion::v1;
  bool act_order = false;
};

// From quantize_config.json, quant_config.json or config.json, whichever is first. Nothing when
// none of them speaks of quantization. Throws Error(bad_input) for another method than GPTQ (names
// it) and for values that we do not read.
std::optional<GptqConfig> find_gptq_config(const Checkpoint& checkpoint);

}  // namespace halftone
