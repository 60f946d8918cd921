// Rounding to nearest on a grid, and what it costs: docs/methods.md §2 and §6.
#include <algorithm>
#include <cassert>
#include <vector>

#include "backend/cpu/quant_ops.h"
#include "backend/round_to_grid.h"

namespace halftone::cpu {
namespace {

constexpr int64_t kRowsAChunk = 16;
constexpr int64_t kColumnsAChunk = 64;

// Neighbouring columns that share a group.
struct Run {
  int64_t begin = 0, end = 0;
  int32_t group = 0;
};

std::vector<Run> runs_of(std::span<const int32_t> group_of) {
  std::vector<Run> runs;
  for (int64_t col = 0; col < static_cast<int64_t>(group_of.size()); ++col) {
    const int32_t group = group_of[static_cast<size_t>(col)];
    if (runs.empty() || runs.back().group != group) runs.push_back({col, col, group});
    runs.back().end = col + 1;
  }
  return runs;
}

// To the nearest whole number, ties to even, for |value| ≤ 512: beyond 2^23 f32 has no fractions.
// Plain arithmetic, which compilers turn into vectors.
inline float round_small(float value) {
  constexpr float kNoFractions = 0x1.8p23f;
  return (value + kNoFractions) - kNoFractions;
}

GroupValues group_values(const CodeView& q, int64_t row, int32_t group) {
  const bool offset = q.zeros.dtype == DType::f32;
  const float zero = offset ? q.zeros.row<float>(row)[group] : q.zeros.row<uint8_t>(row)[group];
  return {q.scales.row<float>(row)[group], zero, offset};
}

// Grids that are not even, or have offsets.
void encode_run(const float* weights, const Grid& grid, GroupValues values, const Run& run,
                uint8_t* codes) {
  for (int64_t col = run.begin; col < run.end; ++col)
    codes[col] = static_cast<uint8_t>(nearest_code(grid, values, weights[col]));
}

// values[col] := what the codes of a run stand for.
void decode_run(const CodeView& q, int64_t row, const Run& run, float* values) {
  const uint8_t* codes = q.codes.row<uint8_t>(row);
  if (q.table == LevelTable::even && q.zeros.dtype == DType::u8) {
    const float scale = q.scales.row<float>(row)[run.group];
    const int zero = q.zeros.row<uint8_t>(row)[run.group];
    for (int64_t col = run.begin; col < run.end; ++col)
      values[col] = scale * static_cast<float>(codes[col] - zero);
    return;
  }
  const GroupValues group = group_values(q, row, run.group);
  for (int64_t col = run.begin; col < run.end; ++col)
    values[col] = value_of_code(q.table, group, codes[col]);
}

}  // namespace

void cpu_encode(ThreadPool& pool, ConstView w, const Grid& grid, const CodeView& q) {
  assert(w.dtype == DType::f32 && q.codes.rows == w.rows && q.codes.cols == w.cols);
  assert(static_cast<int64_t>(q.group_of.size()) == w.cols);
  constexpr float kFar = 512;  // further from 0 than any code from its zero
  const float largest = static_cast<float>(grid.levels() - 1);
  const std::vector<Run> runs = runs_of(q.group_of);
  pool.parallel_for(w.rows, kRowsAChunk, [&](int64_t row_begin, int64_t row_end) {
    for (int64_t row = row_begin; row < row_end; ++row) {
      const float* weights = w.row<float>(row);
      uint8_t* codes = q.codes.row<uint8_t>(row);
      for (const Run& run : runs) {
        const auto [scale, zero, offset] = group_values(q, row, run.group);
        if (offset || grid.table != LevelTable::even) {
          encode_run(weights, grid, {scale, zero, offset}, run, codes);
          continue;
        }
        for (int64_t col = run.begin; col < run.end; ++col) {
          const float steps = weights[col] / scale;
          // Written so that what is not a number becomes −512, and so code 0.
          const float near = steps > -kFar ? (steps < kFar ? steps : kFar) : -kFar;
          const float code = round_small(near) + zero;
          codes[col] = static_cast<uint8_t>(std::clamp(code, 0.0f, largest));
        }
      }
    }
  });
}

void cpu_dequantize(ThreadPool& pool, const simd::Kernels& kernels, const CodeView& q, View out) {
  assert(out.rows == q.codes.rows && out.cols == q.codes.cols);
  assert(static_cast<int64_t>(q.group_of.size()) == out.cols);
  const std::vector<Run> runs = runs_of(q.group_of);
  pool.parallel_for(out.rows, kRowsAChunk, [&](int64_t row_begin, int64_t row_end) {
    std::vector<float> values(static_cast<size_t>(out.cols));
    for (int64_t row = row_begin; row < row_end; ++row) {
      for (const Run& run : runs) decode_run(q, row, run, values.data());
      kernels.convert({values.data(), DType::f32}, simd::target(out, row), out.cols);
    }
  });
}

void cpu_code_errors(ThreadPool& pool, ConstView w, const CodeView& q, View errors) {
  assert(w.dtype == DType::f32 && errors.dtype == DType::f32);
  assert(errors.rows == w.rows && errors.cols == w.cols && q.codes.cols == w.cols);
  assert(static_cast<int64_t>(q.group_of.size()) == w.cols);
  const std::vector<Run> runs = runs_of(q.group_of);
  pool.parallel_for(w.rows, kRowsAChunk, [&](int64_t row_begin, int64_t row_end) {
    std::vector<float> values(static_cast<size_t>(w.cols));
    for (int64_t row = row_begin; row < row_end; ++row) {
      for (const Run& run : runs) decode_run(q, row, run, values.data());
      const float* weights = w.row<float>(row);
      float* target = errors.row<float>(row);
      for (size_t col = 0; col < values.size(); ++col) target[col] = weights[col] - values[col];
    }
  });
}

// Each column is summed from its first row to its last, then the columns in order.
void cpu_add_squares(ThreadPool& pool, ConstView m, std::span<const double> weights, View sum) {
  assert(m.dtype == DType::f32 && sum.dtype == DType::f64);
  assert(weights.empty() || static_cast<int64_t>(weights.size()) == m.cols);
  std::vector<double> squares(static_cast<size_t>(m.cols));
  pool.parallel_for(m.cols, kColumnsAChunk, [&](int64_t begin, int64_t end) {
    double sums[kColumnsAChunk] = {};
    for (int64_t row = 0; row < m.rows; ++row) {
      const float* values = m.row<float>(row) + begin;
      for (int64_t col = 0; col < end - begin; ++col)
        sums[col] += static_cast<double>(values[col]) * values[col];
    }
    std::copy(sums, sums + (end - begin), squares.begin() + begin);
  });
  double total = 0;
  for (size_t col = 0; col < squares.size(); ++col)
    total += squares[col] * (weights.empty() ? 1.0 : weights[col]);
  *sum.row<double>(0) += total;
}

}  // namespace halftone::cpu
