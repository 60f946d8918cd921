// Scales and offsets of any grid: those of even levels with whole zeros come from the backend, the
// others (tables of levels, offsets, superblocks: ggml's types) from a search on the host.
#pragma once

#include "backend/backend.h"

namespace halftone {

// Even levels, whole zeros, positive scales, no superblocks: Backend::fit_grid() has it.
inline bool fits_on_device(const Grid& grid) {
  return grid.table == LevelTable::even && !grid.offsets && grid.superblock == 0 &&
         !grid.signed_scales;
}

// Weights that a device's host fits at a time.
constexpr int64_t kMostFitWeights = 16'000'000;

// Scales (rows, groups) f32 and zeros (rows, groups) u8, or offsets f32, for w (rows, in); all on
// the device.
// `importance` (in, or empty: all alike) of each column's errors counts where the host searches,
// and on the device in ScaleSearch::importance.
void fit_scales(Backend& backend, ConstView w, const GridFit& fit, View scales, View zeros,
                std::span<const float> importance = {});

}  // namespace halftone
