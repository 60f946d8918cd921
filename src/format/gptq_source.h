// A GPTQ checkpoint's tensors: packed linears beside dense ones.
#pragma once

#include <memory>
#include <string>

#include "format/gptq_config.h"
#include "io/checkpoint.h"
#include "tensor/weight_source.h"

namespace halftone {

// The four packed tensors of a linear become one, "<module>.weight". `checkpoint` outlives the
// source. Throws Error(bad_input): a tensor that is missing, has another shape or type than its
// neighbours and `config` say, or groups that do not exist.
std::unique_ptr<WeightSource> open_gptq_weights(const Checkpoint& checkpoint,
                                                const GptqConfig& config);

// "GPTQ 4 bits, groups of 128, symmetric".
std::string describe(const GptqConfig& config);

}  // namespace halftone
