// The columns of a matrix, and the rows and columns of a symmetric one, in another order; the
// diagonal blocks of a triangular one.
#include <algorithm>
#include <cassert>

#include "backend/cpu/quant_ops.h"

namespace halftone::cpu {
namespace {

constexpr int64_t kRowsAChunk = 16;

// Rows [begin, end) of the lower triangle of h[order, order]; h's own lower triangle is read.
template <class T>
void gather_rows(ConstView h, std::span<const int32_t> order, int64_t begin, int64_t end,
                 View out) {
  for (int64_t row = begin; row < end; ++row) {
    const int32_t from_row = order[static_cast<size_t>(row)];
    const float* source = h.row<float>(from_row);
    const float* source_column = h.row<float>(0) + from_row;
    T* target = out.row<T>(row);
    for (int64_t col = 0; col <= row; ++col) {
      const int32_t from_col = order[static_cast<size_t>(col)];
      target[col] =
          static_cast<T>(from_col <= from_row ? source[from_col] : source_column[from_col * h.ld]);
    }
  }
}

template <class T>
void gather_columns(ConstView w, std::span<const int32_t> order, int64_t row, View out) {
  const T* source = w.row<T>(row);
  T* target = out.row<T>(row);
  for (size_t col = 0; col < order.size(); ++col) target[col] = source[order[col]];
}

}  // namespace

void cpu_gather_symmetric(ThreadPool& pool, ConstView h, std::span<const int32_t> order,
                          double dead_diagonal, double damping, View out) {
  const int64_t n = static_cast<int64_t>(order.size());
  assert(out.rows == n && out.cols == n && h.dtype == DType::f32);
  const bool wide = out.dtype == DType::f64;
  pool.parallel_for(n, kRowsAChunk, [&](int64_t begin, int64_t end) {
    if (wide)
      gather_rows<double>(h, order, begin, end, out);
    else
      gather_rows<float>(h, order, begin, end, out);
    for (int64_t row = begin; row < end; ++row) {
      const int32_t from = order[static_cast<size_t>(row)];
      double diagonal = h.row<float>(from)[from];
      diagonal = (diagonal == 0 ? dead_diagonal : diagonal) + damping;
      if (wide)
        out.row<double>(row)[row] = diagonal;
      else
        out.row<float>(row)[row] = static_cast<float>(diagonal);
    }
  });
}

void cpu_gather_columns(ThreadPool& pool, ConstView w, std::span<const int32_t> order, View out) {
  assert(out.rows == w.rows && out.cols == static_cast<int64_t>(order.size()));
  assert(w.dtype == out.dtype && (w.dtype == DType::f32 || w.dtype == DType::u8));
  pool.parallel_for(w.rows, kRowsAChunk, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      if (w.dtype == DType::u8)
        gather_columns<uint8_t>(w, order, row, out);
      else
        gather_columns<float>(w, order, row, out);
    }
  });
}

void cpu_copy_diagonal_blocks(ThreadPool& pool, ConstView a, View blocks) {
  assert(a.rows == a.cols && blocks.rows == a.rows);
  assert(a.dtype == DType::f32 && blocks.dtype == DType::f32);
  pool.parallel_for(a.rows, kRowsAChunk, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      const int64_t first = row / blocks.cols * blocks.cols;
      float* target = blocks.row<float>(row);
      std::copy(a.row<float>(row) + first, a.row<float>(row) + row, target);
      std::fill(target + (row - first), target + blocks.cols, 0.0f);
    }
  });
}

}  // namespace halftone::cpu
