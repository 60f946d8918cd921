// Files beside a model's own that some loaders would take for its weights.
#pragma once

#include <string>
#include <vector>

#include "io/checkpoint.h"

namespace halftone {

// Names of weight files in the model's directory that the model does not consist of, sorted. Of
// a GGUF none: it is named by its file.
std::vector<std::string> stray_weight_files(const Checkpoint& checkpoint);

}  // namespace halftone
