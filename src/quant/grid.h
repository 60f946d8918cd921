// Using a grid on the host, in plain loops. How scales and zeros are fitted is Backend::fit_grid
// (docs/methods.md §2).
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "tensor/quantized.h"

namespace halftone {

// Throws Error(usage) naming the module and proposing a size when `grid` cannot hold a (rows, cols)
// matrix: group_size must divide cols, bits be 2, 3, 4 or 8.
void check_grid(const Grid& grid, int64_t rows, int64_t cols, const std::string& module);

// The code nearest to value: round half to even of value / scale (which is positive), plus zero,
// clamped to 0 … most.
uint8_t encode(float value, float scale, int zero, int most);

// codes of rows [row_begin, row_begin + weight.rows) of `matrix`, whose scales and zeros are set,
// from weight (rows, cols) f32 on the host.
void encode_rows(ConstView weight, int64_t row_begin, QuantizedMatrix& matrix);

}  // namespace halftone
