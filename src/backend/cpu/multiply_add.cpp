// c += a · b in f32, by tiles of fixed size: the solver's update of the columns that are still to
// come.
#include <algorithm>
#include <cassert>

#include "backend/cpu/quant_ops.h"
#include "backend/cpu/sgemm.h"

namespace halftone::cpu {
namespace {

// Large enough that packing its operands costs little, small enough that a (576, 576) matrix still
// feeds several threads.
constexpr int64_t kTileRows = 128, kTileCols = 512;

}  // namespace

void cpu_multiply_add(ThreadPool& pool, ConstView a, ConstView b, View c) {
  assert(a.rows == c.rows && a.cols == b.rows && b.cols == c.cols);
  assert(a.dtype == DType::f32 && b.dtype == DType::f32 && c.dtype == DType::f32);
  if (c.empty() || a.cols == 0) return;
  const int64_t tile_columns = (c.cols + kTileCols - 1) / kTileCols;
  const int64_t tile_rows = (c.rows + kTileRows - 1) / kTileRows;
  pool.parallel_for(tile_rows * tile_columns, 1, [&](int64_t index, int64_t) {
    const int64_t row = index / tile_columns * kTileRows, col = index % tile_columns * kTileCols;
    sgemm({.m = std::min(kTileRows, c.rows - row),
           .n = std::min(kTileCols, c.cols - col),
           .k = a.cols,
           .a = {a.row<float>(row), a.ld},
           .b = {b.row<float>(0) + col, b.ld},
           .c = c.row<float>(row) + col,
           .ldc = c.ld});
  });
}

}  // namespace halftone::cpu
