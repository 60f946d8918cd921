// The table of what can be read.
#include "format/open_weights.h"

#include "format/gguf_source.h"

namespace halftone {

OpenedWeights open_weights(const Checkpoint& checkpoint) {
  if (checkpoint.is_gguf()) return {open_gguf_weights(checkpoint), gguf_quantization(checkpoint)};
  return {open_dense_weights(checkpoint), ""};
}

}  // namespace halftone
