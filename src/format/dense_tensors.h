// Tensors that go from one checkpoint to another unchanged, or in another dense type.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "io/checkpoint.h"
#include "io/safetensors.h"
#include "tensor/weight_source.h"

namespace halftone {

// The type in safetensors of a tensor that cannot be copied byte for byte: bf16 for codes, else its
// own. A GGUF stores norms and biases in f32 whatever the model's type is: such a vector takes the
// model's type where that holds every value.
DType dense_type(const Checkpoint& checkpoint, const WeightSource& source,
                 const StoredTensor& stored);

// The dense tensors of a model on their way into safetensors: byte for byte from safetensors, in
// their dense_type() from codes and from a GGUF.
class DenseTensors {
 public:
  // `wanted` picks by Hugging Face name. `checkpoint` and `source` outlive it. `dtype` set: every
  // floating-point tensor is converted to it.
  DenseTensors(const Checkpoint& checkpoint, const WeightSource& source,
               const std::function<bool(const std::string&)>& wanted,
               std::optional<DType> dtype = std::nullopt);
  void plan(std::vector<TensorPlan>& tensors) const;
  // Throws Error(bad_input) for a value that does not fit the type.
  void write(SafetensorsWriter& writer, ThreadPool& threads) const;

 private:
  std::optional<DType> conversion(const StoredTensor& stored) const;
  void write_converted(const std::string& name, DType dtype, SafetensorsWriter& writer) const;

  const Checkpoint& checkpoint_;
  const WeightSource& source_;
  std::vector<std::string> names_;
  std::optional<DType> dtype_;
};

}  // namespace halftone
