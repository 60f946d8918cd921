// A model opened for use: files, tensors by Hugging Face names, configuration, checked against each
// other. This is where io, format and model meet.
#pragma once

#include <memory>
#include <string>

#include "backend/backend.h"
#include "io/checkpoint.h"
#include "model/weights.h"
#include "text/tokenizer.h"

namespace halftone {

struct OpenedModel {
  std::unique_ptr<Checkpoint> checkpoint;
  std::unique_ptr<WeightSource> source;  // dense, GPTQ or GGUF
  std::unique_ptr<ModelTensors> tensors;
  std::string quantization;  // empty when dense; "gptq 4-bit g128 sym", "GGUF Q4_K_M"
  bool own_head = false;     // the head has a tensor of its own here, and is tied in the files
  bool quantized() const { return !quantization.empty(); }
  const ModelConfig& config() const { return tensors->config(); }
  const std::string& name() const { return checkpoint->name(); }
};

// Throws Error(usage) when there is no such model, Error(bad_input) when it is broken. `own_head`:
// a head that is tied to the embedding becomes a tensor with the same values, and the model untied.
OpenedModel open_model(const std::string& model, bool own_head = false);

// What --skip, --dynamic and reports call a matrix: its tensor's name without ".weight".
std::string module_name(std::string tensor);

// Bits a weight, as every command says them: in the blocks' linears, scales and zeros included; and
// over the whole file, all tensors' bytes over all weights, of which headers and a GGUF's tokenizer
// are none.
struct ModelSize {
  int64_t file_bytes = 0, parameters = 0;
  double bits_per_weight_linears = 0, bits_per_weight_file = 0;
};
ModelSize measure_size(const OpenedModel& model);

// "auto" → bf16 where the backend multiplies it, else f32. Throws Error(usage).
DType compute_dtype(const std::string& option, const Backend& backend);

}  // namespace halftone
