// An MLX checkpoint's tensors: packed linears and tables beside dense ones.
#pragma once

#include "format/open_weights.h"
#include "format/packed_source.h"
#include "format/stated_quantization.h"

namespace halftone {

// weight, scales and biases of a module become one, "<module>.weight". `checkpoint` outlives the
// source. Throws Error(bad_input): another mode than affine, a tensor that is missing or has
// another shape or type than its neighbours and the configuration say.
OpenedWeights open_mlx_weights(const Checkpoint& checkpoint, const StatedQuantization& stated);
// Its linears one by one. Throws for what the configuration says.
std::unique_ptr<PackedReader> mlx_reader(const Checkpoint& checkpoint,
                                         const StatedQuantization& stated);

}  // namespace halftone
