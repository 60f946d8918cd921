#include "quant/channel_operations.h"

#include <algorithm>
#include <cassert>
#include <vector>

namespace halftone {
namespace {

// Of the blocks of a diagonal matrix: a product costs so many multiplications an element.
constexpr int64_t kWidth = 64;

// What a backend computes where the host cannot read it comes over; else nothing is copied.
ConstView on_host(Backend& backend, ConstView m, Tensor& memory) {
  if (m.place == Place::host) return m;
  memory = Tensor(backend.host_allocator(), m.rows, m.cols, m.dtype);
  backend.download(m, memory);
  return memory;
}

}  // namespace

Diagonal::Diagonal(Backend& backend, std::span<const float> values)
    : blocks_(backend.allocate(static_cast<int64_t>(values.size()), kWidth, DType::f32)) {
  const auto n = static_cast<int64_t>(values.size());
  std::vector<float> blocks(static_cast<size_t>(n * kWidth));
  for (int64_t k = 0; k < n; ++k)
    blocks[static_cast<size_t>(k * kWidth + k % kWidth)] = values[static_cast<size_t>(k)];
  backend.upload(ConstView{blocks.data(), n, kWidth, kWidth, DType::f32, Place::host}, blocks_);
}

void Diagonal::multiply(Backend& backend, ConstView m, View product) const {
  assert(m.cols == blocks_.rows() && product.cols == m.cols && product.rows == m.rows);
  const ConstView blocks = blocks_;
  backend.fill(product, 0);
  for (int64_t begin = 0; begin < m.cols; begin += kWidth) {
    const int64_t end = std::min(begin + kWidth, m.cols);
    backend.multiply_add(m.cols_of(begin, end), blocks.rows_of(begin, end).cols_of(0, end - begin),
                         product.cols_of(begin, end));
  }
}

void dot_groups(Backend& backend, ConstView a, ConstView b, int64_t width, View sums) {
  assert(a.rows == b.rows && a.cols == b.cols && sums.rows == a.rows);
  assert(sums.cols == (a.cols + width - 1) / width && sums.place == Place::host);
  Tensor memory_of_a, memory_of_b;
  const ConstView left = on_host(backend, a, memory_of_a);
  const ConstView right = on_host(backend, b, memory_of_b);
  backend.host_threads().parallel_for(a.rows, 16, [&](int64_t row_begin, int64_t row_end) {
    for (int64_t row = row_begin; row < row_end; ++row)
      for (int64_t group = 0; group < sums.cols; ++group) {
        const int64_t begin = group * width, end = std::min(begin + width, a.cols);
        double sum = 0;
        for (int64_t col = begin; col < end; ++col)
          sum += double{left.row<float>(row)[col]} * right.row<float>(row)[col];
        sums.row<float>(row)[group] = static_cast<float>(sum);
      }
  });
}

}  // namespace halftone
