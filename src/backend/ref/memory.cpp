// Reference backend: making it, its memory, and copies with conversion.
#include <cassert>
#include <cstring>

#include "backend/ref/element.h"
#include "backend/ref/ref_backend.h"
#include "backend/ref/ref_operations.h"

namespace halftone {

std::unique_ptr<Backend> make_ref_backend(const BackendOptions&) {
  return std::make_unique<ref::RefBackend>();
}

namespace ref {

RefBackend::RefBackend()
    : info_{.backend = "ref",
            .device = "reference loops, 1 thread",
            .instructions = "portable",
            .native_bf16 = false,
            .threads = 1} {}

Tensor RefBackend::allocate(int64_t rows, int64_t cols, DType dtype) {
  return Tensor(allocator_, rows, cols, dtype);
}

void RefBackend::upload(ConstView host, View device, Queue) { copy(host, device); }

void RefBackend::download(ConstView device, View host) { copy(device, host); }

void RefBackend::copy(ConstView from, View to) {
  assert(from.rows == to.rows && from.cols == to.cols);
  const size_t row_bytes = static_cast<size_t>(from.cols) * size_of(from.dtype);
  for (int64_t row = 0; row < from.rows; ++row) {
    if (from.dtype == to.dtype) {
      const size_t size = size_of(from.dtype);
      std::memmove(to.row<char>(0) + static_cast<size_t>(row * to.ld) * size,
                   from.row<char>(0) + static_cast<size_t>(row * from.ld) * size, row_bytes);
    } else if (from.dtype == DType::f64) {
      for (int64_t col = 0; col < from.cols; ++col)
        store(to, row, col, static_cast<float>(from.row<double>(row)[col]));
    } else if (to.dtype == DType::f64) {
      for (int64_t col = 0; col < from.cols; ++col) to.row<double>(row)[col] = load(from, row, col);
    } else {
      for (int64_t col = 0; col < from.cols; ++col) store(to, row, col, load(from, row, col));
    }
  }
}

void RefBackend::fill(View x, float value) {
  for (int64_t row = 0; row < x.rows; ++row) {
    for (int64_t col = 0; col < x.cols; ++col) {
      switch (x.dtype) {
        case DType::f64:
          x.row<double>(row)[col] = value;
          break;
        case DType::i32:
          x.row<int32_t>(row)[col] = static_cast<int32_t>(value);
          break;
        case DType::u8:
          x.row<uint8_t>(row)[col] = static_cast<uint8_t>(value);
          break;
        default:
          store(x, row, col, value);
      }
    }
  }
}

}  // namespace ref
}  // namespace halftone
