// The ModelWriter of one GGUF file and the Modelfile beside it.
#pragma once

#include <memory>

#include "format/format.h"

namespace halftone {

// spec.gguf is there; one file, whatever spec.max_shard_bytes.
std::unique_ptr<ModelWriter> open_gguf_writer(const Format& format, const OutputSpec& spec);

}  // namespace halftone
