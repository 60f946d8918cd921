// What a GGUF says of a model beside its weights: llama.cpp's keys, the tokenizer, the template,
// rotary factors; and Ollama's Modelfile.
#pragma once

#include <string>

#include "apps/gguf_plan.h"
#include "format/gguf.h"

namespace halftone {

// Throws Error(usage) where the family has no name there, Error(bad_input) for a tokenizer that a
// GGUF cannot hold.
GgufContents gguf_contents(const OpenedModel& model, const GgufMix& mix);

// `metadata` has the model's own template, in Jinja; `file_name`: what stands beside it.
std::string ollama_modelfile(const Metadata& metadata, const std::string& file_name);

}  // namespace halftone
