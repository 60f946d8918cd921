// An AWQ checkpoint's tensors: packed linears beside dense ones.
#pragma once

#include "format/open_weights.h"
#include "format/packed_source.h"
#include "format/stated_quantization.h"

namespace halftone {

// The three packed tensors of a linear become one, "<module>.weight". `checkpoint` outlives the
// source. Throws Error(bad_input): another version than GEMM, other bits than 4, a tensor that is
// missing or has another shape or type than its neighbours and the configuration say.
OpenedWeights open_awq_weights(const Checkpoint& checkpoint, const StatedQuantization& stated);
// Its linears one by one. Throws for what the configuration says.
std::unique_ptr<PackedReader> awq_reader(const Checkpoint& checkpoint,
                                         const StatedQuantization& stated);

}  // namespace halftone
