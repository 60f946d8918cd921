// Reference backend: the second moment of a linear's inputs, its reordering and damping, its
// factorization H = L D Lᵀ (docs/methods.md §3), and what the layer error takes from that (§6).
#include <algorithm>
#include <cassert>
#include <cmath>

#include "backend/ref/element.h"
#include "backend/ref/ref_operations.h"

namespace halftone::ref {
namespace {

// Column by column, in place. Elements are of type T and sums in f64. Returns the status word.
template <class T>
int32_t factor(View a) {
  for (int64_t col = 0; col < a.cols; ++col) {
    for (int64_t row = col; row < a.rows; ++row) {
      double sum = a.row<T>(row)[col];
      for (int64_t i = 0; i < col; ++i)
        sum -= static_cast<double>(a.row<T>(row)[i]) * a.row<T>(col)[i] * a.row<T>(i)[i];
      if (row > col) sum /= a.row<T>(col)[col];
      a.row<T>(row)[col] = static_cast<T>(sum);
    }
    const T pivot = a.row<T>(col)[col];
    if (!(pivot > 0) || !std::isfinite(pivot)) return static_cast<int32_t>(1 + col);
  }
  return 0;
}

}  // namespace

void RefBackend::accumulate_hessian(ConstView x, ConstView row_weights, View h) {
  assert(h.rows == x.cols && h.cols == x.cols);
  assert(row_weights.empty() || row_weights.cols == x.rows);
  for (int64_t i = 0; i < h.rows; ++i) {
    for (int64_t j = 0; j <= i; ++j) {
      double sum = 0;
      for (int64_t row = 0; row < x.rows; ++row) {
        const double weight = row_weights.empty() ? 1.0 : load(row_weights, 0, row);
        sum += weight * load(x, row, i) * load(x, row, j);
      }
      h.row<float>(i)[j] += static_cast<float>(sum);
    }
  }
}

void RefBackend::gather_symmetric(ConstView h, std::span<const int32_t> order, double dead_diagonal,
                                  double damping, View out) {
  const int64_t n = static_cast<int64_t>(order.size());
  assert(out.rows == n && out.cols == n);
  for (int64_t row = 0; row < n; ++row) {
    for (int64_t col = 0; col <= row; ++col) {
      const auto [low, high] =
          std::minmax(order[static_cast<size_t>(row)], order[static_cast<size_t>(col)]);
      double value = h.row<float>(high)[low];
      if (row == col) value = (value == 0 ? dead_diagonal : value) + damping;
      if (out.dtype == DType::f64)
        out.row<double>(row)[col] = value;
      else
        store(out, row, col, static_cast<float>(value));
    }
  }
}

void RefBackend::factor_ldl(View a, View status) {
  assert(a.rows == a.cols && status.dtype == DType::i32);
  *status.row<int32_t>(0) = a.dtype == DType::f64 ? factor<double>(a) : factor<float>(a);
}

void RefBackend::add_squares(ConstView m, std::span<const double> weights, View sum) {
  assert(weights.empty() || static_cast<int64_t>(weights.size()) == m.cols);
  assert(sum.dtype == DType::f64);
  double total = 0;
  for (int64_t col = 0; col < m.cols; ++col) {
    double squares = 0;
    for (int64_t row = 0; row < m.rows; ++row)
      squares += static_cast<double>(load(m, row, col)) * load(m, row, col);
    total += squares * (weights.empty() ? 1.0 : weights[static_cast<size_t>(col)]);
  }
  *sum.row<double>(0) += total;
}

void RefBackend::copy_diagonal_blocks(ConstView a, View blocks) {
  assert(a.rows == a.cols && blocks.rows == a.rows);
  for (int64_t row = 0; row < a.rows; ++row) {
    const int64_t begin = row / blocks.cols * blocks.cols;
    for (int64_t col = 0; col < blocks.cols; ++col)
      store(blocks, row, col, begin + col < row ? load(a, row, begin + col) : 0);
  }
}

}  // namespace halftone::ref
