// What the search of backend/block_search.h knows of a grid, and the numbers that it computes with:
// floats here, one group at a time; vectors of groups in backend/block_lanes.h.
#pragma once

#include <bit>
#include <cstdint>

#include "backend/backend.h"
#include "base/half.h"

namespace halftone {

// Plain numbers: an argument of kernels.
struct BlockGrid {
  static constexpr int kWholes = 256;  // −128 … 127: tables of ggml's are of int8
  static constexpr int kLevels = 16;

  bool even = true, offsets = false, signed_scales = false;
  bool searched = true;              // not the range
  float exponent_beside_square = 0;  // |error|^power is error² times this power of error²
  float largest = 0, zero = 0;       // codes
  int width = 0;                     // of a group
  int together = 1;                  // groups of a superblock
  bool superblocks = false;
  // Multiples of a unit that a superblock's groups may have.
  float lowest_scale = 0, highest_scale = 0, highest_offset = 0;
  // Of a table: its ends; the level nearest to each whole number; the same as steps: from
  // steps[i] on, the level is by rises[i] higher.
  float lowest_level = 0, highest_level = 0;
  float nearest[kWholes] = {};
  float steps[kLevels - 1] = {}, rises[kLevels - 1] = {};
};
// weighed: by importance, errors count by their squares.
BlockGrid block_grid(const GridFit& fit, bool weighed);

// --- numbers: float ---

// a < b ? x : y
constexpr float where_less(float a, float b, float x, float y) { return a < b ? x : y; }
constexpr float lesser(float a, float b) { return b < a ? b : a; }
constexpr float greater(float a, float b) { return a < b ? b : a; }  // a where either is NaN
constexpr bool any_above_zero(float x) { return x > 0; }
// The bits of a float as a whole number, and back, cut off.
constexpr float number_of_bits(float x) { return static_cast<float>(std::bit_cast<int32_t>(x)); }
constexpr float bits_of_number(float x) { return std::bit_cast<float>(static_cast<int32_t>(x)); }
// Nearest in f16, finite, not 0 unless it was.
constexpr float storable_in_f16(float value) {
  if (value == 0) return 0;
  const float rounded = round_to_f16(value < 0 ? -value : value);
  const float finite = lesser(greater(0x1p-24f, rounded), 65504.0f);
  return value < 0 ? -finite : finite;
}

// The level of a table nearest to a whole number from −128 to 127.
struct LevelLookup {
  const float* nearest;  // BlockGrid::nearest
  constexpr float operator()(float whole) const {
    return nearest[static_cast<int>(whole) + BlockGrid::kWholes / 2];
  }
};

}  // namespace halftone
