// A GGUF file's tensors under Hugging Face's names and in Hugging Face's order and offsets.
#pragma once

#include <memory>
#include <string>

#include "io/checkpoint.h"
#include "tensor/weight_source.h"

namespace halftone {

struct GgufMix;

// What a quantized file says that it is (general.file_type); null: nothing that we know.
const GgufMix* stated_mix(const GgufFile& file);

// `checkpoint` is a GGUF one and outlives the source. Tensors whose names are not known keep
// GGUF's. Throws Error(bad_input).
std::unique_ptr<WeightSource> open_gguf_weights(const Checkpoint& checkpoint);

// "GGUF Q4_K_M": the file's type as llama.cpp calls it; empty when its matrices are dense.
std::string gguf_quantization(const Checkpoint& checkpoint);

}  // namespace halftone
