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
#include "io/safetensors.h"
#include "tensor/quantized.h"
#include "tensor/weight_source.h"

namespace halftone {

// One tensor as it will stand in a file.
struct PackedTensor {
  std::string name;  // "model.layers.0.self_attn.q_proj.qweight"
  DType dtype = DType::i32;
  std::vector<int64_t> shape;
  std::vector<std::byte> data;
};

// What the configuration files of a quantized checkpoint say.
struct QuantizationSummary {
  Grid grid;
  double damping = 0.01;
  bool act_order = false;            // static groups: g_idx stays trivial
  std::string method;                // "gptq", "rtn"
  std::vector<std::string> skipped;  // modules kept dense (linears inside blocks only)
};

struct ReaderVerdict {
  std::string reader;  // "vLLM"
  bool opens = true;
  std::string why;  // empty when it opens
};

struct Format {
  std::string_view name;  // --format gptq
  // The grid that the format would store for what the user asked: fixes how scales are stored.
  // Throws Error(usage) when it cannot hold it.
  Grid (*grid)(const Grid& wanted);
  // The tensors of one linear; `module` is the name without ".weight".
  std::vector<PackedTensor> (*pack)(const std::string& module, const QuantizedMatrix&);
  // Names, types, shapes and sizes of what pack() will make, in its order: headers are written
  // before the first code is known.
  std::vector<TensorPlan> (*packed_plan)(const std::string& module, const Grid&, int64_t rows,
                                         int64_t cols);
  // config.json's "quantization_config" and the files that stand beside it.
  Json (*configuration)(const QuantizationSummary&);
  std::vector<std::string_view> (*side_files)();
  // Who opens the result, and who refuses and why.
  std::vector<ReaderVerdict> (*readers)(const Grid&);
};

std::span<const Format> formats();
const Format& find_format(std::string_view name);  // throws Error(usage), lists the known

}  // namespace halftone
