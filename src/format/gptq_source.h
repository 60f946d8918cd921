// A GPTQ checkpoint's tensors: packed linears beside dense ones.
#pragma once

#include "format/open_weights.h"
#include "format/stated_quantization.h"

namespace halftone {

// The four packed tensors of a linear become one, "<module>.weight". `checkpoint` outlives the
// source. Throws Error(bad_input): a tensor that is missing, has another shape or type than its
// neighbours and the configuration say, or groups that do not exist.
OpenedWeights open_gptq_weights(const Checkpoint& checkpoint, const StatedQuantization& stated);

}  // namespace halftone
