// From files to tensors by Hugging Face names, whatever the format (Format::reading).
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "io/checkpoint.h"
#include "tensor/weight_source.h"

namespace halftone {

class PackedReader;

struct OpenedWeights {
  std::unique_ptr<WeightSource> source;
  std::string
      quantization;  // empty when dense: "GPTQ 4 bits, groups of 64, symmetric", "GGUF Q4_1"
};

// Throws Error(bad_input) when the tensors are packed in a way that we do not read (says which).
OpenedWeights open_weights(const Checkpoint& checkpoint);

// Single linears of a checkpoint that is still being written. Opening it looks at zeros and groups
// of all linears; this, at each when it is asked for.
class LinearReader {
 public:
  // The checkpoint outlives it. Throws as open_weights().
  explicit LinearReader(const Checkpoint& checkpoint);
  ~LinearReader();
  // What WeightSource::quantized() gives of "<module>.weight" when the checkpoint is opened now.
  // From any thread. Throws Error(bad_input) where its tensors are missing or do not fit.
  std::optional<QuantizedMatrix> read(const std::string& module) const;

 private:
  std::unique_ptr<PackedReader> packed_;
  std::unique_ptr<WeightSource> gguf_;  // opening one looks at names and types alone
};

}  // namespace halftone
