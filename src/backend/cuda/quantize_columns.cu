// GPTQ's inner loop (docs/methods.md §3) over a block of columns. Eight lanes share a row, each
// with every eighth column's target in registers; L's diagonal block lies in shared memory, above
// its diagonal zeros, so that columns that are done take no feedback.
#include <algorithm>
#include <cassert>

#include "backend/cuda/cuda_operations.h"
#include "backend/cuda/round_to_grid.cuh"

namespace halftone::cuda {
namespace {

constexpr int kColumns = 128;              // of a launch
constexpr int kLanes = 8;                  // that share a row
constexpr int kOwned = kColumns / kLanes;  // columns a lane: column 8 · i + lane is its i-th
constexpr int kRows = 32;                  // of a thread block
constexpr int kFactorBytes = kColumns * kColumns * 4;

struct Panel {
  const float* w;
  float* target;
  const float* factor;  // at the block's diagonal
  GroupScales groups;
  Levels levels;
  uint8_t* codes;
  float* errors;
  int64_t w_ld, target_ld, factor_ld, codes_ld, errors_ld;
  int64_t rows;
  int columns;
  int32_t group_of[kColumns];
};

// Where L[k][8 · i + lane] lies in shared memory: lanes read four of theirs at once, side by side.
__device__ int factor_at(int k, int i, int lane) {
  return k * kColumns + i / 4 * (4 * kLanes) + lane * 4 + i % 4;
}

__device__ void load_factor(const Panel& panel, float* shared) {
  constexpr int kStep = kRows * kLanes;
#pragma unroll 16
  for (int at = threadIdx.x; at < kColumns * kColumns; at += kStep) {
    const int k = at / kColumns, column = at % kColumns;
    const bool below = column < k && k < panel.columns;
    shared[factor_at(k, column / kLanes, column % kLanes)] =
        below ? panel.factor[k * panel.factor_ld + column] : 0.0f;
  }
}

// The grid of one column in one row, and rounding to it: even levels with whole zeros.
struct EvenColumn {
  // The scale and the inverse times and by `unit`, with which both are normal numbers.
  float scale, unit, scaled, inverse, lowest, highest;

  __device__ EvenColumn(const Levels& levels, float column_scale, float zero) {
    scale = column_scale;
    unit = fabsf(scale) < 0x1p-100f ? 0x1p60f : 1.0f;
    scaled = scale * unit;
    inverse = __frcp_rn(scaled);
    lowest = -zero;
    highest = levels.largest - zero;
  }

  // In steps from the zero: round(wanted / scale), clamped to the grid. The quotient is that of a
  // division: a product with the inverse and one correction, but far from the grid.
  using Place = float;
  __device__ Place nearest(float wanted) const {
    const float dividend = __fmul_rn(wanted, unit);
    const float near = __fmul_rn(dividend, inverse);
    const float corrected = __fmaf_rn(__fmaf_rn(-near, scaled, dividend), inverse, near);
    const float quotient = fabsf(near) < 0x1p20f ? corrected : near;
    constexpr float kNoFractions = 0x1.8p23f;                       // beyond 2^23 f32 has none
    const float bounded = fminf(fmaxf(quotient, lowest), highest);  // both are whole numbers
    return __fsub_rn(__fadd_rn(bounded, kNoFractions), kNoFractions);
  }
  __device__ float value(Place steps) const { return __fmul_rn(scale, steps); }
  __device__ float code(Place steps) const { return steps - lowest; }
};

// The same of any grid: a table of levels, offsets.
struct AnyColumn {
  const Levels& levels;
  float scale, zero;

  __device__ AnyColumn(const Levels& any, float column_scale, float column_zero)
      : levels(any), scale(column_scale), zero(column_zero) {}

  using Place = CodeLevel;
  __device__ Place nearest(float wanted) const {
    return nearest_level(levels, scale, zero, wanted);
  }
  __device__ float value(Place place) const {
    return value_of_level(levels, scale, zero, place.level);
  }
  __device__ float code(Place place) const { return place.code; }
};

template <class Column>
__global__ void __launch_bounds__(kRows* kLanes, 2)
    quantize_block(const __grid_constant__ Panel panel) {
  extern __shared__ float4 shared[];
  float* factor = reinterpret_cast<float*>(shared);
  const int lane = threadIdx.x % kLanes;
  const int64_t own_row = int64_t{blockIdx.x} * kRows + threadIdx.x / kLanes;
  const bool stores = own_row < panel.rows;
  const int64_t row = stores ? own_row : panel.rows - 1;  // all lanes of a warp take part

  float targets[kOwned], weights[kOwned], scales[kOwned], zeros[kOwned];
#pragma unroll
  for (int i = 0; i < kOwned; ++i) {
    const int column = i * kLanes + lane;
    const bool inside = column < panel.columns;
    const int32_t group = panel.group_of[column];  // 0 beyond the last
    scales[i] = panel.groups.scale(row, group);
    zeros[i] = panel.groups.zero(row, group);
    targets[i] = inside ? panel.target[row * panel.target_ld + column] : 0.0f;
    weights[i] = inside ? panel.w[row * panel.w_ld + column] : 0.0f;
  }
  load_factor(panel, factor);
  __syncthreads();

#pragma unroll
  for (int i = kOwned - 1; i >= 0; --i) {
    if (i * kLanes >= panel.columns) continue;
    const int column = i * kLanes + lane;
    const bool inside = column < panel.columns;
    const Column grid(panel.levels, scales[i], zeros[i]);
    // Each lane rounds its own column all the time; at its turn the others take its error. After
    // the last turn the targets are final, and so is what was rounded.
    typename Column::Place place{};
    float value = 0, error = 0;
#pragma unroll 2
    for (int turn = kLanes - 1; turn >= 0; --turn) {
      place = grid.nearest(targets[i]);
      value = grid.value(place);
      error = __fsub_rn(weights[i], value);
      const float fed_back = __shfl_sync(~0u, error, turn, kLanes);
      const float4* row_of_factor =
          reinterpret_cast<const float4*>(factor + factor_at(i * kLanes + turn, 0, lane));
#pragma unroll
      for (int quad = i / 4; quad >= 0; --quad) {
        const float4 l = row_of_factor[quad * kLanes];
        if (4 * quad + 3 <= i)
          targets[4 * quad + 3] = __fmaf_rn(fed_back, l.w, targets[4 * quad + 3]);
        if (4 * quad + 2 <= i)
          targets[4 * quad + 2] = __fmaf_rn(fed_back, l.z, targets[4 * quad + 2]);
        if (4 * quad + 1 <= i)
          targets[4 * quad + 1] = __fmaf_rn(fed_back, l.y, targets[4 * quad + 1]);
        targets[4 * quad] = __fmaf_rn(fed_back, l.x, targets[4 * quad]);
      }
    }
    if (stores && inside) {
      panel.codes[row * panel.codes_ld + column] =
          static_cast<uint8_t>(__float2int_rn(grid.code(place)));
      panel.errors[row * panel.errors_ld + column] = error;
      panel.target[row * panel.target_ld + column] = __fsub_rn(targets[i], value);
    }
  }
}

}  // namespace

void quantize_columns(Context& context, const ColumnInputs& inputs, const ColumnBlock& block,
                      const Grid& grid, const ColumnResults& results) {
  const auto& [w, factor, scales, zeros] = inputs;
  const auto& [target, codes, errors] = results;
  assert(w.dtype == DType::f32 && target.dtype == DType::f32 && factor.dtype == DType::f32);
  assert(codes.dtype == DType::u8 && zeros.dtype == (grid.offsets ? DType::f32 : DType::u8));
  assert(errors.dtype == DType::f32 && errors.cols >= block.end - block.begin);
  assert(static_cast<int64_t>(block.group_of.size()) == w.cols);
  if (w.rows == 0) return;
  const bool even = grid.table == LevelTable::even && !grid.offsets;
  const auto kernel = even ? quantize_block<EvenColumn> : quantize_block<AnyColumn>;
  check(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, kFactorBytes),
        "quantize_columns");
  for (int64_t end = block.end; end > block.begin; end -= kColumns) {
    const int64_t begin = std::max(block.begin, end - kColumns);
    const View launch_errors = errors.cols_of(begin - block.begin, end - block.begin);
    Panel panel{
        .w = w.row<float>(0) + begin,
        .target = target.row<float>(0) + begin,
        .factor = factor.row<float>(begin) + begin,
        .groups = group_scales(scales, zeros),
        .levels = levels_from(grid.table, grid.offsets, static_cast<float>(grid.levels() - 1)),
        .codes = codes.row<uint8_t>(0) + begin,
        .errors = launch_errors.row<float>(0),
        .w_ld = w.ld,
        .target_ld = target.ld,
        .factor_ld = factor.ld,
        .codes_ld = codes.ld,
        .errors_ld = errors.ld,
        .rows = w.rows,
        .columns = static_cast<int>(end - begin),
        .group_of = {}};
    std::copy(block.group_of.begin() + begin, block.group_of.begin() + end, panel.group_of);
    const unsigned blocks = static_cast<unsigned>((w.rows + kRows - 1) / kRows);
    kernel<<<blocks, kRows * kLanes, kFactorBytes, context.compute()>>>(panel);
    check_launch("quantize_columns");
    if (begin > block.begin)
      multiply_add(context, launch_errors, factor.rows_of(begin, end).cols_of(block.begin, begin),
                   {target.cols_of(block.begin, begin)});
  }
}

}  // namespace halftone::cuda
