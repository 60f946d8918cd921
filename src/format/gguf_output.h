// The ModelWriter of a GGUF model, and the Modelfile beside it.
#pragma once

#include <memory>

#include "format/format.h"

namespace halftone {

// spec.gguf is there; one file unless spec.max_shard_bytes says otherwise.
std::unique_ptr<ModelWriter> open_gguf_writer(const Format& format, const OutputSpec& spec);

}  // namespace halftone
