// AutoAWQ's checkpoint format ("GEMM"), as AutoAWQ, GPTQModel, vLLM and SGLang read it. Four bits.
// For a linear of `rows` outputs and `cols` inputs in G groups of inputs:
//   qweight  i32 (cols, rows/8)  codes of eight outputs a word, nibble i that of output
//                                8c + {0, 2, 4, 6, 1, 3, 5, 7}[i]
//   qzeros   i32 (G, rows/8)     zeros in the same order, as they are
//   scales   f16 (G, rows)
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "format/format.h"
#include "tensor/quantized.h"

namespace halftone {

// One linear as it lies in a file, shapes checked; no alignment needed.
struct AwqLinear {
  Grid grid;
  int64_t rows = 0, cols = 0;
  const std::byte* qweight = nullptr;
  const std::byte* qzeros = nullptr;
  const std::byte* scales = nullptr;
};

// Rows [row_begin, row_end) as a matrix of their own.
QuantizedMatrix unpack_awq(const AwqLinear& linear, int64_t row_begin, int64_t row_end);
// The order of the tensors is plan_awq's.
std::vector<PackedTensor> pack_awq(const std::string& module, const QuantizedMatrix& matrix);
std::vector<TensorPlan> plan_awq(const std::string& module, const Grid& grid, int64_t rows,
                                 int64_t cols);

extern const Format kAwqFormat;

}  // namespace halftone
