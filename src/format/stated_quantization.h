// What a checkpoint says of its own quantization, before any format makes sense of it.
#pragma once

#include <initializer_list>
#include <optional>
#include <string>

#include "base/json.h"
#include "io/checkpoint.h"
#include "tensor/quantized.h"

namespace halftone {

struct StatedQuantization {
  Json json;
  std::string origin;  // the file, for errors
  std::string method;  // "gptq", "awq", "compressed-tensors", "mlx", or whatever it calls itself
  std::string format;  // "gptq_v2", "gemm", "pack-quantized"; empty: not said
  // What config.json has otherwise than the file that this is from: "bits (4, not 8)"; empty: they
  // agree. Whether that is the size of what is packed.
  std::string differing = {};
  bool differs_in_size = false;
};

// From quantize_config.json, quant_config.json or config.json, whichever is first. Nothing when
// none of them speaks of quantization. Throws Error(bad_input) when two of them contradict each
// other.
std::optional<StatedQuantization> find_stated_quantization(const Checkpoint& checkpoint);

// The first of the keys that is there; any_text in lower case.
std::optional<std::string> any_text(const JsonObject& config,
                                    std::initializer_list<const char*> keys);
std::optional<int64_t> any_integer(const JsonObject& config,
                                   std::initializer_list<const char*> keys, int64_t least,
                                   int64_t most);

// bits, group_size and symmetry in the spellings that GPTQModel, AutoGPTQ, AutoAWQ and Optimum
// have used. Throws Error(bad_input): missing, or not what we read.
Grid stated_grid(const JsonObject& config);

}  // namespace halftone
