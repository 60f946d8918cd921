// Tokenizer, chat template and the like on their way from one model directory to another.
#pragma once

#include <string>

#include "io/checkpoint.h"

namespace halftone {

// Tokenizer, chat template, generation config and the like: copied byte for byte, or written from a
// GGUF's keys.
void write_side_files(const Checkpoint& checkpoint, const std::string& directory);

}  // namespace halftone
