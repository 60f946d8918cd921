// Reference backend: GPTQ's inner loop as back-substitution with feedback (design: the solver;
// docs/methods.md §3), the reordering of columns that goes with it, and rounding to nearest.
#include <cassert>

#include "backend/ref/element.h"
#include "backend/ref/ref_operations.h"
#include "backend/round_to_grid.h"

namespace halftone::ref {
namespace {

GroupValues group_values(ConstView scales, ConstView zeros, int64_t row, int32_t group) {
  const bool offset = zeros.dtype == DType::f32;
  const float zero = offset ? zeros.row<float>(row)[group] : zeros.row<uint8_t>(row)[group];
  return {load(scales, row, group), zero, offset};
}

}  // namespace

void RefBackend::gather_columns(ConstView w, std::span<const int32_t> order, View out) {
  assert(out.rows == w.rows && out.cols == static_cast<int64_t>(order.size()));
  assert(w.dtype == out.dtype);
  for (int64_t row = 0; row < w.rows; ++row) {
    for (int64_t col = 0; col < out.cols; ++col) {
      const int32_t from = order[static_cast<size_t>(col)];
      if (w.dtype == DType::u8)
        out.row<uint8_t>(row)[col] = w.row<uint8_t>(row)[from];
      else
        store(out, row, col, load(w, row, from));
    }
  }
}

void RefBackend::quantize_columns(ConstView w, View target, ConstView factor,
                                  const ColumnBlock& block, const Grid& grid, ConstView scales,
                                  ConstView zeros, View codes, View errors) {
  assert(errors.rows == w.rows && errors.cols >= block.end - block.begin);
  assert(static_cast<int64_t>(block.group_of.size()) == w.cols);
  for (int64_t row = 0; row < w.rows; ++row) {
    float* error = errors.row<float>(row);
    for (int64_t k = block.end - 1; k >= block.begin; --k) {
      double sum = load(target, row, k);
      for (int64_t j = k + 1; j < block.end; ++j)
        sum += static_cast<double>(error[j - block.begin]) * load(factor, j, k);
      const float wanted = static_cast<float>(sum);
      const int32_t group = block.group_of[static_cast<size_t>(k)];
      const GroupValues values = group_values(scales, zeros, row, group);
      const int code = nearest_code(grid, values, wanted);
      const float value = value_of_code(grid.table, values, code);
      codes.row<uint8_t>(row)[k] = static_cast<uint8_t>(code);
      error[k - block.begin] = load(w, row, k) - value;
      target.row<float>(row)[k] = wanted - value;
    }
  }
}

void RefBackend::encode(ConstView w, const Grid& grid, const CodeView& q) {
  for (int64_t row = 0; row < w.rows; ++row) {
    for (int64_t col = 0; col < w.cols; ++col) {
      const int32_t group = q.group_of[static_cast<size_t>(col)];
      const GroupValues values = group_values(q.scales, q.zeros, row, group);
      q.codes.row<uint8_t>(row)[col] =
          static_cast<uint8_t>(nearest_code(grid, values, load(w, row, col)));
    }
  }
}

void RefBackend::code_errors(ConstView w, const CodeView& q, View errors) {
  for (int64_t row = 0; row < w.rows; ++row) {
    for (int64_t col = 0; col < w.cols; ++col) {
      const int32_t group = q.group_of[static_cast<size_t>(col)];
      const GroupValues values = group_values(q.scales, q.zeros, row, group);
      const float value = value_of_code(q.table, values, q.codes.row<uint8_t>(row)[col]);
      store(errors, row, col, load(w, row, col) - value);
    }
  }
}

}  // namespace halftone::ref
