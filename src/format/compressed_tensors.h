// compressed-tensors' "pack-quantized" layout, as llm-compressor writes it and vLLM, SGLang and
// Transformers read it. For a linear of `rows` outputs and `cols` inputs with b-bit codes in G
// groups of inputs:
//   weight_packed      i32 (rows, ⌈cols·b/32⌉)  codes, a little-endian bitstream along the inputs
//   weight_scale       (rows, G)                f32, f16 or bf16
//   weight_shape       i64 (2)                  rows, cols
//   weight_zero_point  i32 (⌈rows·b/32⌉, G)     asymmetric grids: zeros, along the outputs
//   weight_g_idx       i32 (cols)               the group of each input, where it is not trivial
// Codes and zeros are signed there, and 2^(b−1) is added before packing: what lies in the words is
// what we hold. Before its version 0.18, widths that do not divide 32 left words' last bits empty.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "format/format.h"
#include "tensor/quantized.h"

namespace halftone {

// One linear as it lies in a file, shapes checked; no alignment needed.
struct CompressedLinear {
  Grid grid;
  int64_t rows = 0, cols = 0;
  bool gaps = false;  // ⌊32/b⌋ codes a word, as older versions wrote them
  const std::byte* packed = nullptr;
  const std::byte* scales = nullptr;
  const std::byte* zeros = nullptr;  // null: symmetric
  bool zeros_are_bytes = false;      // i8 (rows, G), signed, as older versions wrote them
  std::vector<int32_t> group_of;     // empty: input / group_size
};

// Rows [row_begin, row_end) as a matrix of their own.
QuantizedMatrix unpack_compressed(const CompressedLinear& linear, int64_t row_begin,
                                  int64_t row_end);
// The order of the tensors is plan_compressed's.
std::vector<PackedTensor> pack_compressed(const std::string& module, const QuantizedMatrix& matrix);
std::vector<TensorPlan> plan_compressed(const std::string& module, const Grid& grid, int64_t rows,
                                        int64_t cols);

extern const Format kCompressedTensorsFormat;

}  // namespace halftone
