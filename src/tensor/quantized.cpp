#include "tensor/quantized.h"

#include <algorithm>
#include <array>
#include <cassert>
#include <cmath>

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
  if (matrix.grid.offsets) {
    const float* offsets = matrix.offsets.data() + row * matrix.groups();
    const auto offset = [&grid = matrix.grid, codes, scales, offsets](int64_t col, int64_t group) {
      return scales[group] * grid.level(codes[col]) - offsets[group];
    };
    return store_row(matrix, offset, store);
  }
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
  const auto columns = static_cast<double>(cols);
  if (superblock > 0) {
    const int numbers = offsets ? 2 : 1;
    const auto blocks = static_cast<double>((cols + superblock - 1) / superblock);
    return bits + numbers * multiple_bits * static_cast<double>(groups(cols)) / columns +
           numbers * scale_bits * blocks / columns;
  }
  const bool second = stores_offset || offsets;
  const double per_group = scale_bits + (symmetric ? 0 : second ? scale_bits : bits);
  return bits + per_group * static_cast<double>(groups(cols)) / columns;
}

void QuantizedMatrix::resize(int64_t groups) {
  codes.resize(static_cast<size_t>(rows * cols));
  scales.resize(static_cast<size_t>(rows * groups));
  if (grid.offsets)
    offsets.resize(scales.size());
  else
    zeros.resize(scales.size());
}

float QuantizedMatrix::value(int64_t row, int64_t col) const {
  const size_t at = static_cast<size_t>(row * groups() + group(col));
  const float level = grid.level(codes[static_cast<size_t>(row * cols + col)]);
  if (grid.offsets) return scales[at] * level - offsets[at];
  return scales[at] * (level - static_cast<float>(zeros[at]));
}

QuantizedMatrix split_groups(const QuantizedMatrix& matrix, int64_t size) {
  const int64_t width = matrix.grid.group_width(matrix.cols);
  assert(matrix.group_of.empty() && width % size == 0);
  QuantizedMatrix split = matrix;
  split.grid.group_size = size;
  const auto repeat = [&](const auto& from, auto& to) {
    to.clear();
    for (const auto& value : from) to.insert(to.end(), static_cast<size_t>(width / size), value);
  };
  repeat(matrix.scales, split.scales);
  repeat(matrix.zeros, split.zeros);
  repeat(matrix.offsets, split.offsets);
  return split;
}

std::optional<QuantizedMatrix> with_offsets(const QuantizedMatrix& matrix) {
  if (matrix.grid.offsets) return matrix;
  QuantizedMatrix changed = matrix;
  changed.grid.offsets = true;
  changed.grid.symmetric = false;
  changed.grid.stores_offset = false;
  changed.zeros.clear();
  for (size_t i = 0; i < matrix.scales.size(); ++i) {
    const double exact = static_cast<double>(matrix.scales[i]) * matrix.zeros[i];
    const float offset = round_to(matrix.grid.scales, static_cast<float>(exact));
    if (static_cast<double>(offset) != exact) return std::nullopt;
    changed.offsets.push_back(offset);
  }
  return changed;
}

std::optional<QuantizedMatrix> with_zeros(const QuantizedMatrix& matrix) {
  if (!matrix.grid.offsets) return matrix;
  if (matrix.grid.table != LevelTable::even) return std::nullopt;
  QuantizedMatrix changed = matrix;
  changed.grid.offsets = false;
  changed.offsets.clear();
  for (size_t i = 0; i < matrix.scales.size(); ++i) {
    const double scale = matrix.scales[i], offset = matrix.offsets[i];
    const double zero = scale == 0 ? 0 : std::nearbyint(offset / scale);
    if (zero < 0 || zero >= matrix.grid.levels() || zero * scale != offset) return std::nullopt;
    changed.zeros.push_back(static_cast<uint8_t>(zero));
  }
  return changed;
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
