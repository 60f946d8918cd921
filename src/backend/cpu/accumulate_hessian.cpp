// h += xᵀ · diag(row_weights) · x, the lower triangle, by tiles of fixed size.
#include <algorithm>
#include <cassert>
#include <cmath>
#include <vector>

#include "backend/cpu/quant_ops.h"
#include "backend/cpu/sgemm.h"
#include "base/half.h"

namespace halftone {
namespace {

constexpr int64_t kTile = 256;        // of h
constexpr int64_t kRowsAtOnce = 512;  // of x, when it has to be converted

// The lower triangle's tiles, those of one row of tiles next to each other.
struct TilePosition {
  int64_t row = 0, col = 0;
};
TilePosition tile_at(int64_t index) {
  int64_t i = 0;
  while ((i + 1) * (i + 2) / 2 <= index) ++i;
  return {i * kTile, (index - i * (i + 1) / 2) * kTile};
}

// h += leftᵀ · right in f32.
void add_products(ThreadPool& pool, ConstView left, ConstView right, View h) {
  const int64_t tiles = (h.rows + kTile - 1) / kTile;
  pool.parallel_for(tiles * (tiles + 1) / 2, 1, [&](int64_t index, int64_t) {
    const TilePosition at = tile_at(index);
    sgemm({.m = std::min(kTile, h.rows - at.row),
           .n = std::min(kTile, h.rows - at.col),
           .k = left.rows,
           .a = {left.row<float>(0) + at.row, left.ld, true},
           .b = {right.row<float>(0) + at.col, right.ld},
           .c = h.row<float>(at.row) + at.col,
           .ldc = h.ld});
  });
}

// out (x.rows, x.cols) f32 := x, each row times its weight.
void convert_rows(ThreadPool& pool, ConstView x, const float* row_weights, View out) {
  pool.parallel_for(x.rows, 16, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      const float weight = row_weights ? row_weights[row] : 1.0f;
      float* to = out.row<float>(row);
      if (x.dtype == DType::f32) {
        const float* from = x.row<float>(row);
        for (int64_t col = 0; col < x.cols; ++col) to[col] = weight * from[col];
      } else {
        const bf16* from = x.row<bf16>(row);
        for (int64_t col = 0; col < x.cols; ++col) to[col] = weight * to_float(from[col]);
      }
    }
  });
}

}  // namespace

void cpu_accumulate_hessian(ThreadPool& pool, ConstView x, ConstView row_weights, View h) {
  assert(h.rows == x.cols && h.cols == x.cols && h.dtype == DType::f32);
  assert(x.dtype == DType::f32 || x.dtype == DType::bf16);
  assert(row_weights.empty() || (row_weights.cols == x.rows && row_weights.dtype == DType::f32));
  if (x.dtype == DType::f32 && row_weights.empty()) return add_products(pool, x, x, h);

  const size_t most = static_cast<size_t>(std::min(kRowsAtOnce, x.rows) * x.cols);
  std::vector<float> plain(x.dtype == DType::f32 ? 0 : most);
  std::vector<float> weighted(row_weights.empty() ? 0 : most);
  for (int64_t begin = 0; begin < x.rows; begin += kRowsAtOnce) {
    const ConstView rows = x.rows_of(begin, std::min(begin + kRowsAtOnce, x.rows));
    const auto as_f32 = [&](std::vector<float>& values, const float* weights) -> ConstView {
      const View out{values.data(), rows.rows, rows.cols, rows.cols};
      convert_rows(pool, rows, weights, out);
      return out;
    };
    const ConstView right = x.dtype == DType::f32 ? rows : as_f32(plain, nullptr);
    const ConstView left =
        row_weights.empty() ? right : as_f32(weighted, row_weights.row<float>(0) + begin);
    add_products(pool, left, right, h);
  }
}

}  // namespace halftone
