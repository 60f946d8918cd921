// A GPTQ checkpoint's tensors: packed linears beside dense ones.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "format/gptq_config.h"
#include "format/open_weights.h"
#include "format/packed_source.h"
#include "format/stated_quantization.h"

namespace halftone {

// The four packed tensors of a linear become one, "<module>.weight". `checkpoint` outlives the
// source. Throws Error(bad_input): a tensor that is missing, has another shape or type than its
// neighbours and the configuration say, or groups that do not exist.
OpenedWeights open_gptq_weights(const Checkpoint& checkpoint, const StatedQuantization& stated);
// Its linears one by one. Throws for what the configuration says.
std::unique_ptr<PackedReader> gptq_reader(const Checkpoint& checkpoint,
                                          const StatedQuantization& stated);

struct NamedGptqLinear {
  std::string module;  // "model.layers.0.self_attn.q_proj"
  GptqLinear linear;
};
// Every packed linear with its zeros as the label has them, true or not. Throws as above.
std::vector<NamedGptqLinear> open_gptq_linears(const Checkpoint& checkpoint,
                                               const GptqConfig& config);

// What a symmetric grid's qzeros say, whatever the label: v1 holds 2^(bits−1) − 1 in every field,
// v2 2^(bits−1). Nothing when they hold neither.
std::optional<GptqVersion> version_of_zeros(const GptqLinear& linear);

}  // namespace halftone
