// The scales and zeros that fit_grid() chooses among, as docs/methods.md §2 defines them. Every
// backend takes them from here, so that all choose among the same values.
#pragma once

#include <algorithm>
#include <bit>
#include <cassert>
#include <cmath>
#include <limits>

#include "backend/backend.h"
#include "backend/dropped_bits.h"
#include "base/half.h"

namespace halftone {

// The nearest scale that the format can store. What overflows becomes the largest finite value,
// what underflows the smallest positive one: a scale of a group that is not all zeros is never 0.
inline float storable_scale(ScaleStore store, float scale) {
  assert(scale >= 0);
  struct Range {
    float rounded, smallest, largest;
  };
  const Range range = [&]() -> Range {
    switch (store) {
      case ScaleStore::f16:
        return {round_to_f16(scale), 0x1p-24f, 65504.0f};
      case ScaleStore::bf16:
        return {round_to_bf16(scale), 0x1p-133f, 0x1.fep127f};
      case ScaleStore::f32:
        break;
    }
    return {scale, std::numeric_limits<float>::denorm_min(), std::numeric_limits<float>::max()};
  }();
  return std::clamp(range.rounded, range.smallest, range.largest);
}

// `scale` with the last `dropped` of its 24 bits zero: to nearest, ties to even.
// Nothing above 128 comes out: its product with a code of 8 bits is an f16 still.
inline float shortened_scale(float scale, int dropped) {
  if (dropped == 0) return scale;
  auto bits = std::bit_cast<uint32_t>(std::min(scale, 0x1p7f));
  bits += (uint32_t{1} << (dropped - 1)) - 1 + (bits >> dropped & 1);
  return std::bit_cast<float>(bits >> dropped << dropped);
}

// The range of a group's weights, zero included: low ≤ 0 ≤ high.
struct GroupRange {
  float low = 0, high = 0;
  bool all_zero() const { return low == 0 && high == 0; }
};

struct ScaleAndZero {
  float scale = 1;
  int zero = 0;
  bool operator==(const ScaleAndZero&) const = default;
};

inline int candidates(const GridFit& fit) {
  assert(fit.steps >= 1 && fit.steps <= 100);
  return fit.search == ScaleSearch::minmax ? 1 : fit.steps;
}

// Candidate i: the range shrunk by 1 − i/100, in f64, its scale rounded to f32 and then to what the
// format stores; an asymmetric zero goes with the rounded scale.
inline ScaleAndZero grid_candidate(const GridFit& fit, GroupRange range, int i) {
  const Grid& grid = fit.grid;
  if (range.all_zero())
    return {storable_scale(grid.scales, 1), grid.symmetric ? grid.symmetric_zero() : 0};
  const double shrink = (100 - i) / 100.0;
  const double largest_code = grid.levels() - 1;
  const double low = range.low, high = range.high;
  const double width = grid.symmetric ? 2 * std::max(-low, high) : high - low;
  const double wanted =
      std::min<double>(shrink * width / largest_code, std::numeric_limits<float>::max());
  const float scale =
      storable_scale(grid.scales, shortened_scale(static_cast<float>(wanted), dropped_bits(grid)));
  if (grid.symmetric) return {scale, grid.symmetric_zero()};
  const double zero = std::nearbyint(-shrink * low / static_cast<double>(scale));
  return {scale, static_cast<int>(std::clamp(zero, 0.0, largest_code))};
}

}  // namespace halftone
