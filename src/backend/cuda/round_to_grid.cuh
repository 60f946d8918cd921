// Rounding of one number to a grid with a table of levels or with offsets, as
// backend/round_to_grid.h does on the host, bit for bit.
#pragma once

#include <algorithm>
#include <cassert>

#include "tensor/quantized.h"

namespace halftone::cuda {

// How codes and values go together, but for what a group has; an argument of kernels.
struct Levels {
  static constexpr int kCount = 16;
  float table[kCount] = {};  // rising, when `uneven`
  float largest = 0;         // code
  bool uneven = false, offsets = false;
};

inline Levels levels_from(LevelTable table, bool offsets, float largest = 0) {
  const std::span<const float> uneven = levels_of(table);
  assert(uneven.empty() || uneven.size() == Levels::kCount);
  Levels levels{.largest = uneven.empty() ? largest : static_cast<float>(uneven.size() - 1),
                .uneven = !uneven.empty(),
                .offsets = offsets};
  std::copy(uneven.begin(), uneven.end(), levels.table);
  return levels;
}

// A code and what it stands for before scale and zero.
struct CodeLevel {
  float code, level;
};

// The code whose value is nearest, in a table the lower one of two; 0 for what is not a number.
__device__ inline CodeLevel nearest_level(const Levels& levels, float scale, float zero,
                                          float wanted) {
  const float place = levels.offsets  ? __fdiv_rn(__fadd_rn(wanted, zero), scale)
                      : levels.uneven ? __fadd_rn(__fdiv_rn(wanted, scale), zero)
                                      : __fadd_rn(rintf(__fdiv_rn(wanted, scale)), zero);
  if (!levels.uneven) {
    // fmaxf takes 0 for what is not a number.
    const float code = fminf(fmaxf(levels.offsets ? rintf(place) : place, 0.0f), levels.largest);
    return {code, code};
  }
  CodeLevel nearest{0, levels.table[0]};
#pragma unroll
  for (int i = 1; i < Levels::kCount; ++i)
    if (place > 0.5f * (levels.table[i - 1] + levels.table[i]))
      nearest = {static_cast<float>(i), levels.table[i]};
  return nearest;
}

// What a level stands for: scale · (level − zero), or scale · level − offset.
__device__ inline float value_of_level(const Levels& levels, float scale, float zero, float level) {
  return levels.offsets ? __fsub_rn(__fmul_rn(scale, level), zero)
                        : __fmul_rn(scale, __fsub_rn(level, zero));
}

__device__ inline float value_of_code(const Levels& levels, float scale, float zero, int code) {
  return value_of_level(levels, scale, zero,
                        levels.uneven ? levels.table[code] : static_cast<float>(code));
}

// What the groups of a matrix have: scales, and zeros or offsets; (rows, groups) on the device.
struct GroupScales {
  const float* scales = nullptr;
  const uint8_t* zeros = nullptr;  // unless there are offsets
  const float* offsets = nullptr;
  int64_t scales_ld = 0, zeros_ld = 0;  // the latter of zeros or offsets

  __device__ float scale(int64_t row, int64_t group) const {
    return scales[row * scales_ld + group];
  }
  __device__ float zero(int64_t row, int64_t group) const {
    const int64_t at = row * zeros_ld + group;
    return offsets != nullptr ? offsets[at] : static_cast<float>(zeros[at]);
  }
};

inline GroupScales group_scales(ConstView scales, ConstView zeros) {
  const bool offsets = zeros.dtype == DType::f32;
  assert(scales.dtype == DType::f32 && (offsets || zeros.dtype == DType::u8));
  return {.scales = scales.row<float>(0),
          .zeros = offsets ? nullptr : zeros.row<uint8_t>(0),
          .offsets = offsets ? zeros.row<float>(0) : nullptr,
          .scales_ld = scales.ld,
          .zeros_ld = zeros.ld};
}

}  // namespace halftone::cuda
