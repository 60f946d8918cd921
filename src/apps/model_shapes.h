// Shapes of models that are asked about before they are fetched.
#pragma once

#include <string>

#include "base/json.h"

namespace halftone {

// The configuration (config.json's keys) of a known shape by its name, of a model directory or a
// GGUF file: what it is, without its weights. Throws Error(usage) for a name that is not known
// (lists the known).
Json shape_config(const std::string& name);

// The same with so many layers.
Json with_layers(Json config, int64_t layers);

}  // namespace halftone
