// Target formats as a table. Packing never rounds: a format states its grid first, scales are
// fitted as values that it can store, and unpack(pack(q)) == q.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "format/model_writer.h"
#include "io/safetensors.h"
#include "tensor/quantized.h"
#include "tensor/weight_source.h"

namespace halftone {

class PackedReader;
struct OpenedWeights;
struct StatedQuantization;

// One tensor as it will stand in a file.
struct PackedTensor {
  std::string name;  // "model.layers.0.self_attn.q_proj.qweight"
  std::string type;  // safetensors' name of it: "I32"
  std::vector<int64_t> shape;
  std::vector<std::byte> data;
};
std::vector<PackedTensor> empty_tensors(std::vector<TensorPlan> plan);  // zeros

// What has one grid: each linear its own, those that runtimes fuse (q, k and v; gate and up), or
// all of a model.
enum class GridScope : uint8_t { linear, fused, model };

struct ReaderVerdict {
  std::string reader;  // "vLLM"
  bool opens = true;
  std::string why;  // why not; or, when it opens, what is to be known
};

// How checkpoints are read that say in their configuration how they are packed. Both throw
// Error(bad_input).
struct PackedReading {
  std::string_view method;  // quant_method: "gptq"
  OpenedWeights (*open)(const Checkpoint&, const StatedQuantization&) = nullptr;
  // Linears one by one, of a checkpoint that is still being written.
  std::unique_ptr<PackedReader> (*linears)(const Checkpoint&, const StatedQuantization&) = nullptr;
};

struct Format {
  std::string_view name;     // --format gptq
  std::string_view summary;  // "AutoAWQ's GEMM layout: 4 bits"
  // The grid that the format would store for what the user asked; `wanted.scales` is the type of
  // the model's own tensors, the result's how a scale is stored. Throws Error(usage) when it cannot
  // hold it, listing what it takes.
  Grid (*grid)(const Grid& wanted);
  GridScope one_grid;  // what must have the same grid
  // Every matrix has one of ggml's types, the embedding too, as apps/gguf_plan chooses.
  bool ggml_types = false;
  bool embedding_codes = false;   // the embedding may stay codes where it was
  bool scattered_groups = false;  // QuantizedMatrix::group_of may be anything
  bool self_contained = false;    // configuration and tokenizer are in the file of the weights
  // What goes beyond single modules: grids that differ where the format has one for all. Throws
  // Error(usage).
  void (*check)(std::span<const PlannedModule> modules);
  // Why pack() cannot store these very codes, scales and zeros; empty when it can. Shapes are
  // packed_plan()'s.
  std::string (*obstacle)(const QuantizedMatrix&);
  // The tensors of one linear; `module` is the name without ".weight".
  std::vector<PackedTensor> (*pack)(const std::string& module, const QuantizedMatrix&);
  // Names, types, shapes and sizes of what pack() will make, in its order: headers are written
  // before the first code is known. Throws Error(usage) naming the module for a shape that the
  // format has no room for.
  std::vector<TensorPlan> (*packed_plan)(const std::string& module, const Grid&, int64_t rows,
                                         int64_t cols);
  // What config.json says under each of config_keys, and the files of the same content that stand
  // beside it.
  Json (*configuration)(const QuantizationSummary&);
  std::span<const std::string_view> config_keys;
  std::span<const std::string_view> side_files;
  // Who opens the result, and who refuses and why. `in_parts`: its weights are in more than one
  // file.
  std::vector<ReaderVerdict> (*readers)(std::span<const PlannedModule> modules, bool in_parts);
  // How the output is laid out on disk.
  std::unique_ptr<ModelWriter> (*open_writer)(const Format&, const OutputSpec&);
  PackedReading reading{};  // none: its files are known by what they are
};

std::span<const Format> formats();
const Format& find_format(std::string_view name);  // throws Error(usage), lists the known
// How what says this of itself is read; null: not by us.
const PackedReading* find_reading(std::string_view method);

// The grid that most weights of the blocks have, skipped modules aside; of the head when those are
// all, the default one when nothing is quantized.
Grid main_grid(std::span<const PlannedModule> modules);
bool one_grid(std::span<const PlannedModule> modules);  // whether no quantized module has another
bool quantizes_head(std::span<const PlannedModule> modules);

}  // namespace halftone
