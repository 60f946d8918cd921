// CPU backend: copies with conversion, and fills.
#include <cassert>
#include <cstring>

#include "backend/cpu/cpu_operations.h"

namespace halftone::cpu {
namespace {

bool is_float(DType dtype) {
  return dtype == DType::f32 || dtype == DType::bf16 || dtype == DType::f16;
}

// To and from f64, one element after the other: factors and diagonals, not activations.
void convert_double(ConstView from, View to, int64_t row, const simd::Kernels& kernels) {
  float value;
  for (int64_t col = 0; col < from.cols; ++col) {
    if (from.dtype == DType::f64) {
      value = static_cast<float>(from.row<double>(row)[col]);
      kernels.convert({&value, DType::f32}, simd::target(to, row, col), 1);
    } else {
      kernels.convert(simd::source(from, row, col), {&value, DType::f32}, 1);
      to.row<double>(row)[col] = static_cast<double>(value);
    }
  }
}

template <class T>
void fill_row(T* row, int64_t count, T value) {
  for (int64_t i = 0; i < count; ++i) row[i] = value;
}

}  // namespace

void CpuBackend::upload(ConstView host, View device, Queue) { copy(host, device); }

void CpuBackend::download(ConstView device, View host) { copy(device, host); }

void CpuBackend::copy(ConstView from, View to) {
  assert(from.rows == to.rows && from.cols == to.cols);
  assert(from.dtype == to.dtype || ((is_float(from.dtype) || from.dtype == DType::f64) &&
                                    (is_float(to.dtype) || to.dtype == DType::f64)));
  const size_t row_bytes = static_cast<size_t>(from.cols) * size_of(from.dtype);
  for_rows(from.rows, from.cols, [&](int64_t row) {
    if (from.dtype == to.dtype) {
      std::memmove(simd::target(to, row).data, simd::source(from, row).data, row_bytes);
    } else if (is_float(from.dtype) && is_float(to.dtype)) {
      kernels_.convert(simd::source(from, row), simd::target(to, row), from.cols);
    } else {
      convert_double(from, to, row, kernels_);
    }
  });
}

void CpuBackend::fill(View x, float value) {
  for_rows(x.rows, x.cols, [&](int64_t row) {
    switch (x.dtype) {
      case DType::f32:
        return fill_row(x.row<float>(row), x.cols, value);
      case DType::bf16:
        return fill_row(x.row<bf16>(row), x.cols, to_bf16(value));
      case DType::f16:
        return fill_row(x.row<f16>(row), x.cols, to_f16(value));
      case DType::f64:
        return fill_row(x.row<double>(row), x.cols, static_cast<double>(value));
      case DType::i32:
        return fill_row(x.row<int32_t>(row), x.cols, static_cast<int32_t>(value));
      case DType::u8:
        return fill_row(x.row<uint8_t>(row), x.cols, static_cast<uint8_t>(value));
      default:
        assert(false && "a type that backends compute with");
    }
  });
}

}  // namespace halftone::cpu
