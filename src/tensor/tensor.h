// Rank-2 row-major matrices: views that do not own, and tensors that do.
//
// Rank 2 suffices for a language model: attention gets head counts beside its views.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/half.h"
#include "tensor/allocator.h"

namespace halftone {

enum class DType : uint8_t { f32, f16, bf16, f64, i64, i32, i16, i8, u8, boolean };

size_t size_of(DType dtype);            // bytes an element
std::string_view name_of(DType dtype);  // "f32", "bf16", …

// Who may dereference `data`.
enum class Place : uint8_t { host, device };

// A matrix of rows × cols elements that somebody else owns; `ld` elements lie between the starts of
// two rows (ld ≥ cols).
struct ConstView {
  const void* data = nullptr;
  int64_t rows = 0, cols = 0, ld = 0;
  DType dtype = DType::f32;
  Place place = Place::host;

  bool empty() const { return rows == 0 || cols == 0; }
  bool contiguous() const { return ld == cols || rows <= 1; }
  int64_t bytes() const { return rows * cols * static_cast<int64_t>(size_of(dtype)); }

  // Typed access to row r; the caller has checked dtype and place.
  template <class T>
  const T* row(int64_t r) const {
    return static_cast<const T*>(data) + r * ld;
  }
  // Rows [begin, end), columns [begin, end).
  ConstView rows_of(int64_t begin, int64_t end) const;
  ConstView cols_of(int64_t begin, int64_t end) const;
};

struct View {
  void* data = nullptr;
  int64_t rows = 0, cols = 0, ld = 0;
  DType dtype = DType::f32;
  Place place = Place::host;

  operator ConstView() const { return {data, rows, cols, ld, dtype, place}; }
  bool empty() const { return rows == 0 || cols == 0; }
  bool contiguous() const { return ld == cols || rows <= 1; }
  int64_t bytes() const { return rows * cols * static_cast<int64_t>(size_of(dtype)); }

  template <class T>
  T* row(int64_t r) const {
    return static_cast<T*>(data) + r * ld;
  }
  View rows_of(int64_t begin, int64_t end) const;
  View cols_of(int64_t begin, int64_t end) const;
  // The same elements as rows·factor × cols/factor; needs contiguous() and factor | cols. A
  // (tokens, heads·head_dim) matrix seen as (tokens·heads, head_dim).
  View split_rows(int64_t factor) const;
};

// A dense matrix with memory of its own, contiguous, 64-byte aligned. Move-only.
class Tensor {
 public:
  Tensor() = default;
  // Not initialized. Throws Error(resources) when the allocator's budget is exceeded.
  Tensor(Allocator& allocator, int64_t rows, int64_t cols, DType dtype, Place place = Place::host);
  ~Tensor();
  Tensor(Tensor&& other) noexcept;
  Tensor& operator=(Tensor&& other) noexcept;
  Tensor(const Tensor&) = delete;
  Tensor& operator=(const Tensor&) = delete;

  operator View() const { return view_; }
  operator ConstView() const { return view_; }
  const View& view() const { return view_; }

  int64_t rows() const { return view_.rows; }
  int64_t cols() const { return view_.cols; }
  DType dtype() const { return view_.dtype; }
  bool empty() const { return view_.empty(); }
  int64_t bytes() const { return view_.bytes(); }
  template <class T>
  T* row(int64_t r) const {
    return view_.row<T>(r);
  }

 private:
  View view_;
  Allocator* allocator_ = nullptr;
};

}  // namespace halftone
