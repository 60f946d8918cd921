// The table of what can be read.
#include "format/open_weights.h"

#include "base/error.h"
#include "base/printable.h"
#include "format/awq_source.h"
#include "format/compressed_tensors_source.h"
#include "format/gguf_source.h"
#include "format/gptq_source.h"
#include "format/mlx_source.h"
#include "format/packed_source.h"
#include "format/stated_quantization.h"

namespace halftone {
namespace {

struct Reader {
  std::string_view method;
  OpenedWeights (*open)(const Checkpoint&, const StatedQuantization&);
  std::unique_ptr<PackedReader> (*linears)(const Checkpoint&, const StatedQuantization&);
};
constexpr Reader kReaders[] = {
    {"gptq", open_gptq_weights, gptq_reader},
    {"awq", open_awq_weights, awq_reader},
    {"compressed-tensors", open_compressed_tensors_weights, compressed_tensors_reader},
    {"mlx", open_mlx_weights, mlx_reader}};

const Reader& reader_of(const StatedQuantization& stated) {
  for (const Reader& reader : kReaders)
    if (reader.method == stated.method) return reader;
  throw bad_input("{}: quantized as {}{}, which cannot be read", stated.origin,
                  printable(stated.method),
                  stated.format.empty() ? "" : " (" + printable(stated.format) + ")")
      .hint("GPTQ, AWQ, compressed-tensors, MLX, GGUF and unquantized safetensors can be.");
}

}  // namespace

OpenedWeights open_weights(const Checkpoint& checkpoint) {
  if (checkpoint.is_gguf()) return {open_gguf_weights(checkpoint), gguf_quantization(checkpoint)};
  if (const auto stated = find_stated_quantization(checkpoint))
    return reader_of(*stated).open(checkpoint, *stated);
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
    packed_ = reader_of(*stated).linears(checkpoint, *stated);
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
