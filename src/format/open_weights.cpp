// What says how it is packed is opened by its row of the table of formats; a GGUF, and what is
// dense, as what it is.
#include "format/open_weights.h"

#include "base/error.h"
#include "base/printable.h"
#include "format/format.h"
#include "format/gguf_source.h"
#include "format/packed_source.h"
#include "format/stated_quantization.h"

namespace halftone {
namespace {

const PackedReading& reading_of(const StatedQuantization& stated) {
  if (const PackedReading* reading = find_reading(stated.method)) return *reading;
  throw bad_input("{}: quantized as {}{}, which cannot be read", stated.origin,
                  printable(stated.method),
                  stated.format.empty() ? "" : " (" + printable(stated.format) + ")")
      .hint("GPTQ, AWQ, compressed-tensors, MLX, GGUF and unquantized safetensors can be.");
}

}  // namespace

OpenedWeights open_weights(const Checkpoint& checkpoint) {
  if (checkpoint.is_gguf()) return {open_gguf_weights(checkpoint), gguf_quantization(checkpoint)};
  if (const auto stated = find_stated_quantization(checkpoint))
    return reading_of(*stated).open(checkpoint, *stated);
  for (const ContainerEntry& entry : checkpoint.entries()) {
    if (!entry.name.ends_with(".qweight") && !entry.name.ends_with(".weight_packed")) continue;
    throw bad_input("{}: {} is packed, but neither quantize_config.json nor config.json says how",
                    entry.file, entry.name);
  }
  return {open_dense_weights(checkpoint), ""};
}

LinearReader::LinearReader(const Checkpoint& checkpoint) {
  if (checkpoint.is_gguf())
    gguf_ = open_gguf_weights(checkpoint);
  else if (const auto stated = find_stated_quantization(checkpoint))
    packed_ = reading_of(*stated).linears(checkpoint, *stated);
}

LinearReader::~LinearReader() = default;

std::optional<QuantizedMatrix> LinearReader::read(const std::string& module) const {
  if (gguf_) return gguf_->quantized(module + ".weight");
  if (!packed_) return std::nullopt;
  const PackedEntry entry = packed_->entry(module);
  if (!entry.stored.grid) return std::nullopt;
  return entry.linear->unpack(0, entry.stored.rows);
}

}  // namespace halftone
