// A compressed-tensors checkpoint's tensors: packed linears beside dense ones.
#pragma once

#include "format/open_weights.h"
#include "format/packed_source.h"
#include "format/stated_quantization.h"

namespace halftone {

// The packed tensors of a linear become one, "<module>.weight". `checkpoint` outlives the source.
// Throws Error(bad_input): another layout than pack-quantized, quantized activations, a module that
// is packed though no group targets it or `ignore` names it, a tensor that is missing or has
// another shape or type than its neighbours and the configuration say.
OpenedWeights open_compressed_tensors_weights(const Checkpoint& checkpoint,
                                              const StatedQuantization& stated);
// Its linears one by one. Throws for what the configuration says.
std::unique_ptr<PackedReader> compressed_tensors_reader(const Checkpoint& checkpoint,
                                                        const StatedQuantization& stated);

}  // namespace halftone
