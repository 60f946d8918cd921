#include "tensor/tensor.h"

#include <cassert>
#include <type_traits>
#include <utility>

#include "base/checked.h"
#include "base/error.h"

namespace halftone {
namespace {

template <class AnyView>
AnyView rows_between(const AnyView& view, int64_t begin, int64_t end) {
  assert(0 <= begin && begin <= end && end <= view.rows);
  AnyView part = view;
  using Byte = std::conditional_t<std::is_const_v<std::remove_pointer_t<decltype(view.data)>>,
                                  const std::byte, std::byte>;
  part.data =
      static_cast<Byte*>(view.data) + begin * view.ld * static_cast<int64_t>(size_of(view.dtype));
  part.rows = end - begin;
  return part;
}

template <class AnyView>
AnyView cols_between(const AnyView& view, int64_t begin, int64_t end) {
  assert(0 <= begin && begin <= end && end <= view.cols);
  AnyView part = view;
  using Byte = std::conditional_t<std::is_const_v<std::remove_pointer_t<decltype(view.data)>>,
                                  const std::byte, std::byte>;
  part.data = static_cast<Byte*>(view.data) + begin * static_cast<int64_t>(size_of(view.dtype));
  part.cols = end - begin;
  return part;
}

}  // namespace

size_t size_of(DType dtype) {
  switch (dtype) {
    case DType::f64:
    case DType::i64:
      return 8;
    case DType::f32:
    case DType::i32:
      return 4;
    case DType::f16:
    case DType::bf16:
    case DType::i16:
      return 2;
    case DType::i8:
    case DType::u8:
    case DType::boolean:
      return 1;
  }
  assert(false);
  return 0;
}

std::string_view name_of(DType dtype) {
  switch (dtype) {
    case DType::f32:
      return "f32";
    case DType::f16:
      return "f16";
    case DType::bf16:
      return "bf16";
    case DType::f64:
      return "f64";
    case DType::i64:
      return "i64";
    case DType::i32:
      return "i32";
    case DType::i16:
      return "i16";
    case DType::i8:
      return "i8";
    case DType::u8:
      return "u8";
    case DType::boolean:
      return "bool";
  }
  assert(false);
  return "";
}

ConstView ConstView::rows_of(int64_t begin, int64_t end) const {
  return rows_between(*this, begin, end);
}
ConstView ConstView::cols_of(int64_t begin, int64_t end) const {
  return cols_between(*this, begin, end);
}
View View::rows_of(int64_t begin, int64_t end) const { return rows_between(*this, begin, end); }
View View::cols_of(int64_t begin, int64_t end) const { return cols_between(*this, begin, end); }

View View::split_rows(int64_t factor) const {
  assert(contiguous() && factor > 0 && cols % factor == 0);
  View split = *this;
  split.rows = rows * factor;
  split.cols = split.ld = cols / factor;
  return split;
}

Tensor::Tensor(Allocator& allocator, int64_t rows, int64_t cols, DType dtype, Place place) {
  assert(rows >= 0 && cols >= 0);
  const auto elements = checked_multiply(static_cast<uint64_t>(rows), static_cast<uint64_t>(cols));
  const auto size = elements ? checked_multiply(*elements, size_of(dtype)) : std::nullopt;
  if (!size || *size > static_cast<uint64_t>(INT64_MAX))
    throw out_of_resources("a tensor of {} × {} {} is larger than any memory", rows, cols,
                           name_of(dtype));
  view_ = {nullptr, rows, cols, cols, dtype, place};
  view_.data = allocator.allocate(static_cast<size_t>(*size));
  allocator_ = &allocator;
}

Tensor::~Tensor() {
  if (allocator_) allocator_->release(view_.data, static_cast<size_t>(view_.bytes()));
}

Tensor::Tensor(Tensor&& other) noexcept
    : view_(std::exchange(other.view_, View())),
      allocator_(std::exchange(other.allocator_, nullptr)) {}

// What this held is released now, not when `other` dies.
Tensor& Tensor::operator=(Tensor&& other) noexcept {
  Tensor taken(std::move(other));
  std::swap(view_, taken.view_);
  std::swap(allocator_, taken.allocator_);
  return *this;
}

}  // namespace halftone
