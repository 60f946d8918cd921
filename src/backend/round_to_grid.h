// Rounding of one number to a grid, for backends that have no vectors for it: a table's levels, and
// offsets.
#pragma once

#include <algorithm>
#include <cmath>

#include "tensor/quantized.h"

namespace halftone {

// The scale of a code's group, and its zero or, with `offset`, what is subtracted.
struct GroupValues {
  float scale = 1, zero = 0;
  bool offset = false;
};

// What a code stands for.
inline float value_of_code(LevelTable table, GroupValues group, int code) {
  const float level = table == LevelTable::even ? static_cast<float>(code)
                                                : levels_of(table)[static_cast<size_t>(code)];
  return group.offset ? group.scale * level - group.zero : group.scale * (level - group.zero);
}

// The code whose value is nearest; 0 for what is not a number.
inline int nearest_code(const Grid& grid, GroupValues group, float wanted) {
  if (grid.table == LevelTable::even) {
    const float largest = static_cast<float>(grid.levels() - 1);
    const float code = group.offset ? std::nearbyint((wanted + group.zero) / group.scale)
                                    : std::nearbyint(wanted / group.scale) + group.zero;
    return std::isnan(code) ? 0 : static_cast<int>(std::clamp(code, 0.0f, largest));
  }
  const std::span<const float> levels = levels_of(grid.table);
  const float level = group.offset ? (wanted + group.zero) / group.scale
                                   : wanted / group.scale + group.zero;
  int code = 0;
  for (size_t i = 1; i < levels.size(); ++i)
    code += level > 0.5f * (levels[i - 1] + levels[i]) ? 1 : 0;
  return code;
}

}  // namespace halftone
