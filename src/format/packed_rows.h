// What formats share that pack codes along their rows, or unpack a range of rows.
#pragma once

#include <cassert>
#include <cstddef>
#include <cstdint>

#include "format/bitstream.h"
#include "tensor/quantized.h"

namespace halftone {

// Rows [row_begin, row_end) of a packed linear as a matrix of their own, all zero yet. Linear: one
// of the formats', with grid, rows and cols.
template <class Linear>
QuantizedMatrix empty_rows(const Linear& linear, int64_t row_begin, int64_t row_end) {
  assert(0 <= row_begin && row_begin <= row_end && row_end <= linear.rows);
  QuantizedMatrix matrix{.grid = linear.grid, .rows = row_end - row_begin, .cols = linear.cols};
  matrix.resize(linear.grid.groups(linear.cols));
  return matrix;
}

// out := the codes of each row, packed_bytes(cols, bits) bytes after the other.
inline void pack_rows(const QuantizedMatrix& matrix, std::byte* out) {
  const int64_t bytes = packed_bytes(matrix.cols, matrix.grid.bits);
  for (int64_t row = 0; row < matrix.rows; ++row)
    pack_codes(matrix.codes.data() + row * matrix.cols, matrix.cols, matrix.grid.bits,
               out + row * bytes);
}

}  // namespace halftone
