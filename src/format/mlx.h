// MLX's affine quantization, as mlx-lm reads it. For a linear of `rows` outputs and `cols` inputs
// with b-bit codes in G groups of inputs:
//   weight  u32 (rows, cols·b/32)  codes, a little-endian bitstream along the inputs
//   scales  (rows, G)              f32, f16 or bf16
//   biases  (rows, G)              −scale · zero, in the same type: ŵ = scale · code + bias
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "format/format.h"
#include "tensor/quantized.h"

namespace halftone {

// One linear as it lies in a file, shapes checked; no alignment needed.
struct MlxLinear {
  Grid grid;
  int64_t rows = 0, cols = 0;
  const std::byte* weight = nullptr;
  const std::byte* scales = nullptr;
  const std::byte* biases = nullptr;
};

// The zero of a group, −bias / scale; nothing when that is no code, or not exact.
std::optional<int> mlx_zero(float scale, float bias, int bits);
// Rows [row_begin, row_end) as a matrix of their own; every group has a zero.
QuantizedMatrix unpack_mlx(const MlxLinear& linear, int64_t row_begin, int64_t row_end);
// The order of the tensors is plan_mlx's.
std::vector<PackedTensor> pack_mlx(const std::string& module, const QuantizedMatrix& matrix);
std::vector<TensorPlan> plan_mlx(const std::string& module, const Grid& grid, int64_t rows,
                                 int64_t cols);

extern const Format kMlxFormat;

}  // namespace halftone
