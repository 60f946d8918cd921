// Scales and zeros of each row's groups, as docs/methods.md §2 defines them.
//
// Every candidate's loss is summed in f32, |error|^power (times its importance) by the card's
// logarithm and exponential; candidates within that sum's error of the least are then held against
// each other in f64, by the definition, so that the choice is `ref`'s. Groups of at most 128
// weights are held in the registers of eight lanes; of larger ones a thread block takes one, a warp
// a candidate.
#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <algorithm>
#include <cassert>
#include <cfloat>

#include "backend/cuda/cuda_operations.h"
#include "backend/dropped_bits.h"

namespace halftone::cuda {
namespace {

constexpr int kThreads = 128;
constexpr int kLanes = 8;  // that share a group of at most 128
constexpr int kGroups = kThreads / kLanes;
constexpr int kMostCandidates = 100;
// Above the relative error of a loss summed in f32.
constexpr float kUncertain = 1.00002f;

struct Search {
  const float* w;
  const float* importance;  // of each column; null: all alike
  float* scales;
  uint8_t* zeros;
  int64_t w_ld, scales_ld, zeros_ld;
  int64_t rows, cols, groups, width;
  int candidates;
  float power;
  int levels;
  bool symmetric;
  ScaleStore store;
  int dropped;  // dropped_bits() of the grid
};

struct ScaleAndZero {
  float scale = 1;
  int zero = 0;
};

struct Range {
  float low = 0, high = 0;
};

// storable_scale(), shortened_scale() and grid_candidate() of backend/grid_candidate.h.
__device__ float storable_scale(ScaleStore store, float scale) {
  switch (store) {
    case ScaleStore::f16:
      return fminf(fmaxf(__half2float(__float2half_rn(scale)), 0x1p-24f), 65504.0f);
    case ScaleStore::bf16:
      return fminf(fmaxf(__bfloat162float(__float2bfloat16_rn(scale)), 0x1p-133f), 0x1.fep127f);
    default:
      return fminf(fmaxf(scale, 0x1p-149f), FLT_MAX);
  }
}

__device__ float shortened_scale(float scale, int dropped) {
  if (dropped == 0) return scale;
  uint32_t bits = __float_as_uint(fminf(scale, 0x1p7f));
  bits += (uint32_t{1} << (dropped - 1)) - 1 + (bits >> dropped & 1);
  return __uint_as_float(bits >> dropped << dropped);
}

__device__ ScaleAndZero grid_candidate(const Search& search, Range range, int i) {
  const int symmetric_zero = search.levels / 2;
  if (range.low == 0 && range.high == 0)
    return {storable_scale(search.store, 1), search.symmetric ? symmetric_zero : 0};
  const double shrink = __ddiv_rn(100 - i, 100.0);
  const double largest_code = search.levels - 1;
  const double low = range.low, high = range.high;
  const double width = search.symmetric ? 2 * fmax(-low, high) : high - low;
  const double wanted =
      fmin(__ddiv_rn(__dmul_rn(shrink, width), largest_code), static_cast<double>(FLT_MAX));
  const float scale =
      storable_scale(search.store, shortened_scale(__double2float_rn(wanted), search.dropped));
  if (search.symmetric) return {scale, symmetric_zero};
  const double zero = rint(__ddiv_rn(__dmul_rn(-shrink, low), static_cast<double>(scale)));
  return {scale, static_cast<int>(fmin(fmax(zero, 0.0), largest_code))};
}

// A candidate in units of a power of two in which the group's largest weight is in [1, 2): the
// scale, its inverse, and the codes relative to the zero.
__device__ float4 in_units(const Search& search, ScaleAndZero candidate, int unit) {
  const float scale = __double2float_rn(scalbn(static_cast<double>(candidate.scale), -unit));
  return {scale, __frcp_rn(scale), static_cast<float>(-candidate.zero),
          static_cast<float>(search.levels - 1 - candidate.zero)};
}

__device__ float power_of(float x, float power) {
  if (power == 2) return x * x;
  float logarithm, result;
  asm("lg2.approx.ftz.f32 %0, %1;" : "=f"(logarithm) : "f"(x));
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(result) : "f"(power * logarithm));
  return result;
}

// |w − ŵ|^power, in those units.
__device__ float loss_of(float w, float4 grid, float power) {
  constexpr float kNoFractions = 0x1.8p23f;  // beyond 2^23 f32 has none
  const float rounded = __fmaf_rn(w, grid.y, kNoFractions) - kNoFractions;
  const float code = fminf(fmaxf(rounded, grid.z), grid.w);
  return power_of(fabsf(__fmaf_rn(-code, grid.x, w)), power);
}

// The same by the definition.
__device__ __noinline__ double exact_loss(float w, ScaleAndZero candidate, const Search& search) {
  const float zero = static_cast<float>(candidate.zero);
  const float largest = static_cast<float>(search.levels - 1);
  const float code =
      fminf(fmaxf(__fadd_rn(rintf(__fdiv_rn(w, candidate.scale)), zero), 0.0f), largest);
  const double error = static_cast<double>(w) - __fmul_rn(candidate.scale, __fsub_rn(code, zero));
  return pow(fabs(error), static_cast<double>(search.power));
}

// Of the group's weight at `at`.
__device__ float importance_of(const Search& search, int64_t begin, int64_t at) {
  return search.importance == nullptr ? 1.0f : search.importance[begin + at];
}

template <int kWidth, class T>
__device__ T sum_over(T value) {
#pragma unroll
  for (int distance = kWidth / 2; distance > 0; distance /= 2)
    value += __shfl_xor_sync(~0u, value, distance);
  return value;
}

template <int kWidth>
__device__ Range range_over(Range range) {
#pragma unroll
  for (int distance = kWidth / 2; distance > 0; distance /= 2) {
    range.low = fminf(range.low, __shfl_xor_sync(~0u, range.low, distance));
    range.high = fmaxf(range.high, __shfl_xor_sync(~0u, range.high, distance));
  }
  return range;
}

template <int kWidth>
__device__ float least_over(float value) {
#pragma unroll
  for (int distance = kWidth / 2; distance > 0; distance /= 2)
    value = fminf(value, __shfl_xor_sync(~0u, value, distance));
  return value;
}

__device__ int exponent_of(Range range) {
  const float largest = fmaxf(-range.low, range.high);
  return largest > 0 && largest <= FLT_MAX ? ilogbf(largest) : 0;
}

// w · 2^-unit; by two factors, since one may leave f32's range.
__device__ float in_units(float w, int unit) {
  const int first = -unit / 2;
  return ldexpf(1.0f, -unit - first) * (ldexpf(1.0f, first) * w);
}

// The choice among candidates whose losses in f32 are `losses`; every lane of the warp calls it,
// the kWidth lanes that share a group with the same group. exact(candidate) is the loss in f64,
// summed over these lanes.
template <int kWidth, class Exact>
__device__ int choose(const Search& search, Range range, const float* losses, int lane,
                      const Exact& exact) {
  float least = INFINITY;
  int first = 0;
  for (int i = 0; i < search.candidates; ++i) {
    if (losses[i] < least) {
      least = losses[i];
      first = i;
    }
  }
  // The first and the last candidate that may be the best one.
  const float limit = least * kUncertain;
  int begin = first, end = first + 1;
  for (int i = lane; i < search.candidates; i += kWidth) {
    if (losses[i] <= limit) {
      begin = min(begin, i);
      end = max(end, i + 1);
    }
  }
#pragma unroll
  for (int distance = kWidth / 2; distance > 0; distance /= 2) {
    begin = min(begin, __shfl_xor_sync(~0u, begin, distance));
    end = max(end, __shfl_xor_sync(~0u, end, distance));
  }
  if (__all_sync(~0u, end - begin <= 1)) return first;

  int best = begin;
  double best_loss = INFINITY;
  ScaleAndZero previous = {-1, 0};
  int most = end - begin;
#pragma unroll
  for (int distance = 16; distance >= kWidth; distance /= 2)
    most = max(most, __shfl_xor_sync(~0u, most, distance));
  for (int step = 0; step < most; ++step) {
    const int i = min(begin + step, end - 1);
    const ScaleAndZero candidate = grid_candidate(search, range, i);
    const bool counts = begin + step < end && losses[i] <= limit &&
                        !(candidate.scale == previous.scale && candidate.zero == previous.zero);
    if (!__any_sync(~0u, counts)) continue;
    const double loss = exact(candidate);
    if (counts && loss < best_loss) {
      best = i;
      best_loss = loss;
    }
    if (counts) previous = candidate;
  }
  return best;
}

__device__ void store(const Search& search, int64_t row, int64_t group, ScaleAndZero grid) {
  search.scales[row * search.scales_ld + group] = grid.scale;
  search.zeros[row * search.zeros_ld + group] = static_cast<uint8_t>(grid.zero);
}

// Eight lanes a group, kHeld weights each.
template <int kHeld>
__global__ void __launch_bounds__(kThreads) fit_small_groups(const Search search) {
  __shared__ float4 candidates[kGroups][kMostCandidates];
  __shared__ float losses[kGroups][kMostCandidates];
  const int lane = threadIdx.x % kLanes, slot = threadIdx.x / kLanes;
  const int64_t index = int64_t{blockIdx.x} * kGroups + slot;
  const int64_t last = search.rows * search.groups - 1;
  const int64_t row = min(index, last) / search.groups, group = min(index, last) % search.groups;
  const int64_t begin = group * search.width;
  const int count = static_cast<int>(min(search.width, search.cols - begin));
  const float* weights = search.w + row * search.w_ld + begin;

  float w[kHeld], importance[kHeld];
  Range range;
#pragma unroll
  for (int i = 0; i < kHeld; ++i) {
    const int at = i * kLanes + lane;
    w[i] = at < count ? weights[at] : 0.0f;
    importance[i] = at < count ? importance_of(search, begin, at) : 0.0f;
    range.low = fminf(range.low, w[i]);
    range.high = fmaxf(range.high, w[i]);
  }
  range = range_over<kLanes>(range);
  // The least of the weights that the range is of.
  float end_importance = INFINITY;
#pragma unroll
  for (int i = 0; i < kHeld; ++i) {
    const bool end = search.symmetric ? fabsf(w[i]) == fmaxf(-range.low, range.high)
                                      : w[i] == range.low || w[i] == range.high;
    if (end && i * kLanes + lane < count) end_importance = fminf(end_importance, importance[i]);
  }
  end_importance = least_over<kLanes>(end_importance);
  const int unit = exponent_of(range);
#pragma unroll
  for (int i = 0; i < kHeld; ++i) w[i] = in_units(w[i], unit);
  for (int i = lane; i < search.candidates; i += kLanes) {
    candidates[slot][i] = in_units(search, grid_candidate(search, range, i), unit);
    losses[slot][i] = INFINITY;
  }
  __syncwarp();

  const float low = in_units(range.low, unit), high = in_units(range.high, unit);
  float least = INFINITY;
  for (int i = 0; i < search.candidates; ++i) {
    const float4 grid = candidates[slot][i];
    // At least so far one weight is beyond the grid: where that alone is worse than the best
    // candidate yet, all that follow, which are narrower, are worse as well.
    const float clipped = search.symmetric ? fmaxf(-low, high) + grid.z * grid.x
                                           : 0.5f * (high - low - (grid.w - grid.z) * grid.x);
    const bool hopeless =
        clipped > 0 && end_importance * power_of(clipped, search.power) > 1.001f * least;
    if (__all_sync(~0u, hopeless)) break;
    float loss = 0;
#pragma unroll
    for (int k = 0; k < kHeld; ++k) loss += importance[k] * loss_of(w[k], grid, search.power);
    loss = sum_over<kLanes>(loss);
    least = fminf(least, loss);
    if (lane == 0) losses[slot][i] = loss;
  }
  __syncwarp();
  const int best = choose<kLanes>(search, range, losses[slot], lane, [&](ScaleAndZero candidate) {
    double loss = 0;
    for (int at = lane; at < count; at += kLanes)
      loss += importance_of(search, begin, at) * exact_loss(weights[at], candidate, search);
    return sum_over<kLanes>(loss);
  });
  if (lane == 0 && index <= last) store(search, row, group, grid_candidate(search, range, best));
}

// A thread block a group, a warp a candidate.
__global__ void __launch_bounds__(kThreads) fit_large_groups(const Search search) {
  constexpr int kWarps = kThreads / 32;
  __shared__ float losses[kMostCandidates];
  __shared__ Range ranges[kWarps];
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  const int64_t row = blockIdx.x / search.groups, group = blockIdx.x % search.groups;
  const int64_t begin = group * search.width;
  const int64_t count = min(search.width, search.cols - begin);
  const float* weights = search.w + row * search.w_ld + begin;

  Range range;
#pragma unroll 4
  for (int64_t at = threadIdx.x; at < count; at += kThreads) {
    range.low = fminf(range.low, weights[at]);
    range.high = fmaxf(range.high, weights[at]);
  }
  range = range_over<32>(range);
  if (lane == 0) ranges[warp] = range;
  __syncthreads();
  for (int i = 0; i < kWarps; ++i) {
    range.low = fminf(range.low, ranges[i].low);
    range.high = fmaxf(range.high, ranges[i].high);
  }
  const int unit = exponent_of(range);
  const float first = ldexpf(1.0f, -unit / 2), second = ldexpf(1.0f, -unit - -unit / 2);
  for (int i = warp; i < search.candidates; i += kWarps) {
    const float4 grid = in_units(search, grid_candidate(search, range, i), unit);
    float loss = 0;
#pragma unroll 8
    for (int64_t at = lane; at < count; at += 32)
      loss += importance_of(search, begin, at) *
              loss_of(weights[at] * first * second, grid, search.power);
    loss = sum_over<32>(loss);
    if (lane == 0) losses[i] = loss;
  }
  __syncthreads();
  if (warp != 0) return;
  const int best = choose<32>(search, range, losses, lane, [&](ScaleAndZero candidate) {
    double loss = 0;
    for (int64_t at = lane; at < count; at += 32)
      loss += importance_of(search, begin, at) * exact_loss(weights[at], candidate, search);
    return sum_over<32>(loss);
  });
  if (lane == 0) store(search, row, group, grid_candidate(search, range, best));
}

}  // namespace

void fit_grid(Context& context, const GridInputs& inputs, const GridFit& fit,
              const GridResults& results) {
  const auto& [w, importance] = inputs;
  const auto& [scales, zeros] = results;
  assert(importance.empty() || (importance.dtype == DType::f32 && importance.cols == w.cols));
  assert(w.dtype == DType::f32);
  const int64_t width = fit.grid.group_width(w.cols), groups = fit.grid.groups(w.cols);
  assert(scales.rows == w.rows && scales.cols == groups && scales.dtype == DType::f32);
  assert(zeros.rows == w.rows && zeros.cols == groups && zeros.dtype == DType::u8);
  assert(fit.steps >= 1 && fit.steps <= kMostCandidates);
  if (w.empty()) return;
  const Search search{.w = w.row<float>(0),
                      .importance = importance.empty() ? nullptr : importance.row<float>(0),
                      .scales = scales.row<float>(0),
                      .zeros = zeros.row<uint8_t>(0),
                      .w_ld = w.ld,
                      .scales_ld = scales.ld,
                      .zeros_ld = zeros.ld,
                      .rows = w.rows,
                      .cols = w.cols,
                      .groups = groups,
                      .width = width,
                      .candidates = fit.search == ScaleSearch::minmax ? 1 : fit.steps,
                      .power = halftone::exponent_of(fit, !importance.empty()),
                      .levels = fit.grid.levels(),
                      .symmetric = fit.grid.symmetric,
                      .store = fit.grid.scales,
                      .dropped = dropped_bits(fit.grid)};
  const int64_t count = w.rows * groups;
  const unsigned blocks = static_cast<unsigned>((count + kGroups - 1) / kGroups);
  if (width <= 4 * kLanes)
    fit_small_groups<4><<<blocks, kThreads, 0, context.compute()>>>(search);
  else if (width <= 8 * kLanes)
    fit_small_groups<8><<<blocks, kThreads, 0, context.compute()>>>(search);
  else if (width <= 16 * kLanes)
    fit_small_groups<16><<<blocks, kThreads, 0, context.compute()>>>(search);
  else
    fit_large_groups<<<static_cast<unsigned>(count), kThreads, 0, context.compute()>>>(search);
  check_launch("fit_grid");
}

}  // namespace halftone::cuda
