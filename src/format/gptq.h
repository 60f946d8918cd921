// GPTQ's checkpoint format, as GPTQModel, AutoGPTQ, vLLM and SGLang read it. For a linear of `rows`
// outputs and `cols` inputs with b-bit codes in G groups of inputs:
//   qweight  i32 (cols·b/32, rows)  codes, a little-endian bitstream along the inputs
//   qzeros   i32 (G, rows·b/32)     zeros, a bitstream along the outputs; v1 stores zero − 1, v2
//   zero scales   f16 (G, rows) g_idx    i32 (cols)             the group of each input
// --format gptq writes symmetric grids as v1 ("gptq"), which every reader knows, and asymmetric
// ones as v2 ("gptq_v2"), since v1 cannot store a zero of 0; --format gptq_v2 writes both as v2.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "format/format.h"
#include "tensor/quantized.h"

namespace halftone {

enum class GptqVersion : uint8_t { v1, v2 };
GptqVersion gptq_version(const Grid& grid);     // what --format gptq writes
std::string_view name_of(GptqVersion version);  // "gptq", "gptq_v2"

// One linear as it lies in a file, shapes checked; `qweight`, `qzeros` and `scales` need no
// alignment.
struct GptqLinear {
  Grid grid;  // scales: how this file stores them
  GptqVersion version = GptqVersion::v1;
  int64_t rows = 0, cols = 0;
  const std::byte* qweight = nullptr;
  const std::byte* qzeros = nullptr;
  const std::byte* scales = nullptr;
  std::vector<int32_t> group_of;  // empty: input / group_size
};

// Rows [row_begin, row_end) as a matrix of their own.
QuantizedMatrix unpack_gptq(const GptqLinear& linear, int64_t row_begin, int64_t row_end);
// Symmetric grids alone can be v1. The order of the tensors is plan_gptq's.
std::vector<PackedTensor> pack_gptq(const std::string& module, const QuantizedMatrix& matrix,
                                    GptqVersion version);
std::vector<TensorPlan> plan_gptq(const std::string& module, const Grid& grid, int64_t rows,
                                  int64_t cols);

extern const Format kGptqFormat;    // symmetric grids as v1, asymmetric ones as v2
extern const Format kGptqV2Format;  // all as v2

}  // namespace halftone
