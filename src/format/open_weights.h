// From files to tensors by Hugging Face names: the table of what can be read, first claim wins.
#pragma once

#include <memory>
#include <string>

#include "io/checkpoint.h"
#include "tensor/weight_source.h"

namespace halftone {

struct OpenedWeights {
  std::unique_ptr<WeightSource> source;
  std::string
      quantization;  // empty when dense: "GPTQ 4 bits, groups of 64, symmetric", "GGUF Q4_1"
};

// Throws Error(bad_input) when the tensors are packed in a way that we do not read (says which).
OpenedWeights open_weights(const Checkpoint& checkpoint);

}  // namespace halftone
