// One element, or one row, of a view as f32, whatever its dtype (f32, bf16 or f16): all that the
// reference loops need to know of storage.
#pragma once

#include <cassert>
#include <cstdint>
#include <span>
#include <vector>

#include "base/half.h"
#include "tensor/tensor.h"

namespace halftone::ref {

inline float load(ConstView x, int64_t row, int64_t col) {
  switch (x.dtype) {
    case DType::f32:
      return x.row<float>(row)[col];
    case DType::bf16:
      return to_float(x.row<bf16>(row)[col]);
    case DType::f16:
      return to_float(x.row<f16>(row)[col]);
    default:
      assert(false && "f32, bf16 or f16");
      return 0;
  }
}

// Rounds once, to nearest, ties to even.
inline void store(View x, int64_t row, int64_t col, float value) {
  switch (x.dtype) {
    case DType::f32:
      x.row<float>(row)[col] = value;
      break;
    case DType::bf16:
      x.row<bf16>(row)[col] = to_bf16(value);
      break;
    case DType::f16:
      x.row<f16>(row)[col] = to_f16(value);
      break;
    default:
      assert(false && "f32, bf16 or f16");
  }
}

inline std::vector<float> load_row(ConstView x, int64_t row) {
  std::vector<float> values(static_cast<size_t>(x.cols));
  for (int64_t col = 0; col < x.cols; ++col) values[static_cast<size_t>(col)] = load(x, row, col);
  return values;
}

inline void store_row(View x, int64_t row, std::span<const float> values) {
  assert(static_cast<int64_t>(values.size()) == x.cols);
  for (int64_t col = 0; col < x.cols; ++col) store(x, row, col, values[static_cast<size_t>(col)]);
}

// The products of f32 values in f32's range, summed in f64: what is left is the rounding of inputs
// and of the result, so a difference to another backend is that backend's.
inline double dot(std::span<const float> a, std::span<const float> b) {
  assert(a.size() == b.size());
  double sum = 0;
  for (size_t i = 0; i < a.size(); ++i) sum += static_cast<double>(a[i]) * b[i];
  return sum;
}

}  // namespace halftone::ref
