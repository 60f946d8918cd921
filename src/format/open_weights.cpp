// The table of what can be read.
#include "format/open_weights.h"

#include "base/error.h"
#include "base/printable.h"
#include "format/awq_source.h"
#include "format/compressed_tensors_source.h"
#include "format/gguf_source.h"
#include "format/gptq_source.h"
#include "format/mlx_source.h"
#include "format/stated_quantization.h"

namespace halftone {
namespace {

struct Reader {
  std::string_view method;
  OpenedWeights (*open)(const Checkpoint&, const StatedQuantization&);
};
constexpr Reader kReaders[] = {{"gptq", open_gptq_weights},
                               {"awq", open_awq_weights},
                               {"compressed-tensors", open_compressed_tensors_weights},
                               {"mlx", open_mlx_weights}};

}  // namespace

OpenedWeights open_weights(const Checkpoint& checkpoint) {
  if (checkpoint.is_gguf()) return {open_gguf_weights(checkpoint), gguf_quantization(checkpoint)};
  if (const auto stated = find_stated_quantization(checkpoint)) {
    for (const Reader& reader : kReaders)
      if (reader.method == stated->method) return reader.open(checkpoint, *stated);
    throw bad_input("{}: quantized as {}{}, which cannot be read", stated->origin,
                    printable(stated->method),
                    stated->format.empty() ? "" : " (" + printable(stated->format) + ")")
        .hint("GPTQ, AWQ, compressed-tensors, MLX, GGUF and unquantized safetensors can be.");
  }
  for (const ContainerEntry& entry : checkpoint.entries()) {
    if (!entry.name.ends_with(".qweight") && !entry.name.ends_with(".weight_packed")) continue;
    throw bad_input("{}: {} is packed, but neither quantize_config.json nor config.json says how",
                    entry.file, entry.name);
  }
  return {open_dense_weights(checkpoint), ""};
}

}  // namespace halftone
