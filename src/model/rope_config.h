// Rotary embeddings as config.json describes them: rope_theta with rope_scaling, or
// rope_parameters, flat or by layer type.
#pragma once

#include "base/json.h"
#include "model/arch_table.h"
#include "model/config.h"

namespace halftone {

enum class RopeLayers : uint8_t { full, sliding };

// Of the layers that see everything, or of those with a window in a family with two ropes.
// `config`'s dimensions are read before. Throws Error(bad_input) for a scaling that is not known.
RopeConfig read_rope(const JsonObject& json, const ArchSpec& arch, RopeLayers layers,
                     const ModelConfig& config);

}  // namespace halftone
