// The table of what can be read.
#include "format/open_weights.h"

#include "base/error.h"
#include "format/gguf_source.h"
#include "format/gptq_source.h"

namespace halftone {

OpenedWeights open_weights(const Checkpoint& checkpoint) {
  if (checkpoint.is_gguf()) return {open_gguf_weights(checkpoint), gguf_quantization(checkpoint)};
  if (const auto gptq = find_gptq_config(checkpoint)) {
    return {open_gptq_weights(checkpoint, *gptq), describe(*gptq)};
  }
  for (const ContainerEntry& entry : checkpoint.entries()) {
    if (!entry.name.ends_with(".qweight")) continue;
    throw bad_input("{}: {} is packed, but neither quantize_config.json nor config.json says how",
                    entry.file, entry.name);
  }
  return {open_dense_weights(checkpoint), ""};
}

}  // namespace halftone
