#include "tensor/quantized.h"

#include <algorithm>
#include <array>
#include <cassert>

namespace halftone {
namespace {

template <class Value, class Store>
void store_row(const QuantizedMatrix& matrix, Value value, Store store) {
  if (!matrix.group_of.empty()) {
    for (int64_t col = 0; col < matrix.cols; ++col)
      store(col, value(col, matrix.group_of[static_cast<size_t>(col)]));
    return;
  }
  const int64_t width = matrix.grid.group_width(matrix.cols);
  for (int64_t begin = 0, group = 0; begin < matrix.cols; begin += width, ++group)
    for (int64_t col = begin; col < std::min(matrix.cols, begin + width); ++col)
      store(col, value(col, group));
}

template <class Store>
void dequantize_row(const QuantizedMatrix& matrix, int64_t row, Store store) {
  const uint8_t* codes = matrix.codes.data() + row * matrix.cols;
  const float* scales = matrix.scales.data() + row * matrix.groups();
  const uint8_t* zeros = matrix.zeros.data() + row * matrix.groups();
  if (matrix.grid.table == LevelTable::even) {
    const auto even = [=](int64_t col, int64_t group) {
      return scales[group] * static_cast<float>(codes[col] - zeros[group]);
    };
    return store_row(matrix, even, store);
  }
  const float* levels = levels_of(matrix.grid.table).data();
  const auto uneven = [=](int64_t col, int64_t group) {
    return scales[group] * (levels[codes[col]] - static_cast<float>(zeros[group]));
  };
  store_row(matrix, uneven, store);
}

// kvalues_iq4nl of ggml-common.h.
constexpr std::array<float, 16> kIq4Nl = {-127, -104, -83, -65, -49, -35, -22, -10,
                                          1,    13,   25,  38,  53,  69,  89,  113};

}  // namespace

std::span<const float> levels_of(LevelTable table) {
  return table == LevelTable::iq4_nl ? std::span<const float>(kIq4Nl) : std::span<const float>();
}

float round_to(ScaleStore store, float scale) {
  switch (store) {
    case ScaleStore::f32:
      return scale;
    case ScaleStore::f16:
      return round_to_f16(scale);
    case ScaleStore::bf16:
      return round_to_bf16(scale);
  }
  assert(false);
  return scale;
}

double Grid::bits_per_weight(int64_t cols) const {
  const int scale_bits = scales == ScaleStore::f32 ? 32 : 16;
  const double per_group = scale_bits + (symmetric ? 0 : stores_offset ? scale_bits : bits);
  return bits + per_group * static_cast<double>(groups(cols)) / static_cast<double>(cols);
}

float QuantizedMatrix::value(int64_t row, int64_t col) const {
  const size_t at = static_cast<size_t>(row * groups() + group(col));
  return scales[at] *
         (grid.level(codes[static_cast<size_t>(row * cols + col)]) - static_cast<float>(zeros[at]));
}

void dequantize(const QuantizedMatrix& matrix, int64_t row_begin, int64_t row_end, View out) {
  assert(0 <= row_begin && row_begin <= row_end && row_end <= matrix.rows);
  assert(out.rows == row_end - row_begin && out.cols == matrix.cols && out.place == Place::host);
  for (int64_t row = row_begin; row < row_end; ++row) {
    const int64_t to = row - row_begin;
    if (out.dtype == DType::f32) {
      dequantize_row(matrix, row, [p = out.row<float>(to)](int64_t c, float v) { p[c] = v; });
    } else if (out.dtype == DType::bf16) {
      dequantize_row(matrix, row,
                     [p = out.row<bf16>(to)](int64_t c, float v) { p[c] = to_bf16(v); });
    } else {
      assert(out.dtype == DType::f16);
      dequantize_row(matrix, row, [p = out.row<f16>(to)](int64_t c, float v) { p[c] = to_f16(v); });
    }
  }
}

}  // namespace halftone
