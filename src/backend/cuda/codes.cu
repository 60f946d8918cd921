// Rounding to nearest on a grid, and what it costs: docs/methods.md §2 and §6. Bound by memory.
#include <cassert>

#include "backend/cuda/cuda_operations.h"
#include "backend/cuda/round_to_grid.cuh"

namespace halftone::cuda {
namespace {

constexpr int kThreads = 256;  // of a block; neighbours take neighbouring columns
constexpr int kRows = 16;      // of a block
constexpr int kSummedRows = 64;

struct Codes {
  const float* w;
  GroupScales groups;
  Levels levels;
  const int32_t* group_of;
  uint8_t* codes;
  float* errors;  // may be w
  int64_t w_ld, codes_ld, errors_ld;
  int64_t rows, cols;
};

__global__ void __launch_bounds__(kThreads) round_to_codes(const Codes q) {
  const int64_t col = int64_t{blockIdx.x} * kThreads + threadIdx.x;
  if (col >= q.cols) return;
  const int32_t group = q.group_of[col];
  const int64_t begin = int64_t{blockIdx.y} * kRows, end = min(begin + kRows, q.rows);
#pragma unroll 4
  for (int64_t row = begin; row < end; ++row) {
    const float scale = q.groups.scale(row, group), zero = q.groups.zero(row, group);
    const CodeLevel nearest = nearest_level(q.levels, scale, zero, q.w[row * q.w_ld + col]);
    q.codes[row * q.codes_ld + col] = static_cast<uint8_t>(nearest.code);
  }
}

__global__ void __launch_bounds__(kThreads) subtract_values(const Codes q) {
  const int64_t col = int64_t{blockIdx.x} * kThreads + threadIdx.x;
  if (col >= q.cols) return;
  const int32_t group = q.group_of[col];
  const int64_t begin = int64_t{blockIdx.y} * kRows, end = min(begin + kRows, q.rows);
#pragma unroll 4
  for (int64_t row = begin; row < end; ++row) {
    const float scale = q.groups.scale(row, group), zero = q.groups.zero(row, group);
    const float value = value_of_code(q.levels, scale, zero, q.codes[row * q.codes_ld + col]);
    q.errors[row * q.errors_ld + col] = __fsub_rn(q.w[row * q.w_ld + col], value);
  }
}

// The sum over a block's threads, in a fixed order; every thread calls it, thread 0 gets it.
__device__ double block_sum(double value) {
  __shared__ double sums[kThreads / 32];
  for (int distance = 16; distance > 0; distance /= 2)
    value += __shfl_down_sync(~0u, value, distance);
  if (threadIdx.x % 32 == 0) sums[threadIdx.x / 32] = value;
  __syncthreads();
  if (threadIdx.x == 0)
    for (int warp = 1; warp < kThreads / 32; ++warp) value += sums[warp];
  return value;
}

// partial[block] := its share of Σ weights_k · m_rk².
__global__ void __launch_bounds__(kThreads)
    sum_squares(const float* m, int64_t ld, int64_t rows, int64_t cols, const double* weights,
                double* partial) {
  const int64_t col = int64_t{blockIdx.x} * kThreads + threadIdx.x;
  const int64_t begin = int64_t{blockIdx.y} * kSummedRows, end = min(begin + kSummedRows, rows);
  double sum = 0;
  if (col < cols) {
#pragma unroll 8
    for (int64_t row = begin; row < end; ++row) {
      const double value = m[row * ld + col];
      sum = fma(value, value, sum);
    }
    if (weights) sum *= weights[col];
  }
  sum = block_sum(sum);
  if (threadIdx.x == 0) partial[int64_t{blockIdx.y} * gridDim.x + blockIdx.x] = sum;
}

__global__ void __launch_bounds__(kThreads)
    add_partial_sums(const double* partial, int64_t count, double* total) {
  double sum = 0;
  for (int64_t i = threadIdx.x; i < count; i += kThreads) sum += partial[i];
  sum = block_sum(sum);
  if (threadIdx.x == 0) *total += sum;
}

dim3 blocks_of(int64_t rows, int64_t cols, int rows_a_block) {
  return dim3(static_cast<unsigned>((cols + kThreads - 1) / kThreads),
              static_cast<unsigned>((rows + rows_a_block - 1) / rows_a_block));
}

Codes operands_of(ConstView w, const CodeView& q, const int32_t* group_of) {
  assert(w.dtype == DType::f32 && q.codes.rows == w.rows && q.codes.cols == w.cols);
  assert(static_cast<int64_t>(q.group_of.size()) == w.cols);
  return {.w = w.row<float>(0),
          .groups = group_scales(q.scales, q.zeros),
          .levels = levels_from(q.table, q.zeros.dtype == DType::f32),
          .group_of = group_of,
          .codes = q.codes.row<uint8_t>(0),
          .errors = nullptr,
          .w_ld = w.ld,
          .codes_ld = q.codes.ld,
          .errors_ld = 0,
          .rows = w.rows,
          .cols = w.cols};
}

}  // namespace

void encode(Context& context, ConstView w, const Grid& grid, const CodeView& q) {
  if (w.empty()) return;
  const Tensor group_of = context.to_device(q.group_of);
  Codes codes = operands_of(w, q, data_of<int32_t>(group_of));
  codes.levels.largest = static_cast<float>(grid.levels() - 1);
  round_to_codes<<<blocks_of(w.rows, w.cols, kRows), kThreads, 0, context.compute()>>>(codes);
  check_launch("encode");
}

void code_errors(Context& context, ConstView w, const CodeView& q, View errors) {
  assert(errors.dtype == DType::f32 && errors.rows == w.rows && errors.cols == w.cols);
  if (w.empty()) return;
  const Tensor group_of = context.to_device(q.group_of);
  Codes codes = operands_of(w, q, data_of<int32_t>(group_of));
  codes.errors = errors.row<float>(0);
  codes.errors_ld = errors.ld;
  subtract_values<<<blocks_of(w.rows, w.cols, kRows), kThreads, 0, context.compute()>>>(codes);
  check_launch("code_errors");
}

void add_squares(Context& context, ConstView m, std::span<const double> weights, View sum) {
  assert(m.dtype == DType::f32 && sum.dtype == DType::f64);
  assert(weights.empty() || static_cast<int64_t>(weights.size()) == m.cols);
  if (m.empty()) return;
  Tensor device_weights;
  if (!weights.empty()) device_weights = context.to_device(weights);
  const dim3 blocks = blocks_of(m.rows, m.cols, kSummedRows);
  const int64_t count = int64_t{blocks.x} * blocks.y;
  const Tensor partial = context.temporary(1, count, DType::f64);
  sum_squares<<<blocks, kThreads, 0, context.compute()>>>(
      m.row<float>(0), m.ld, m.rows, m.cols,
      weights.empty() ? nullptr : data_of<double>(device_weights), partial.row<double>(0));
  check_launch("add_squares");
  add_partial_sums<<<1, kThreads, 0, context.compute()>>>(partial.row<double>(0), count,
                                                          sum.row<double>(0));
  check_launch("add_squares");
}

}  // namespace halftone::cuda
