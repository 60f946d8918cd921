// Tensors and files that go from one model directory to another unchanged, shared by quantize and
// convert.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "apps/open_model.h"
#include "io/safetensors.h"

namespace halftone {

// The dense tensors of a model on their way into safetensors: byte for byte from safetensors, or in
// `dtype` from a GGUF (whose own types safetensors does not have).
class DenseOutput {
 public:
  // `wanted` picks by Hugging Face name. `model` outlives it. `dtype` set: every floating-point
  // tensor is converted to it.
  DenseOutput(const OpenedModel& model, const std::function<bool(const std::string&)>& wanted,
              std::optional<DType> dtype = std::nullopt);
  void plan(std::vector<TensorPlan>& tensors) const;
  void write(SafetensorsWriter& writer) const;

 private:
  void write_converted(const std::string& name, DType dtype, SafetensorsWriter& writer) const;

  const OpenedModel& model_;
  std::vector<std::string> names_;
  std::optional<DType> dtype_;
};

// Tokenizer, chat template, generation config and the like: copied byte for byte, or written from a
// GGUF's keys.
void write_side_files(const Checkpoint& checkpoint, const std::string& directory);

}  // namespace halftone
