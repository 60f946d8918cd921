// Scales and zeros or offsets of any grid: which of the backend's searches it takes.
#pragma once

#include "backend/backend.h"

namespace halftone {

// Scales (rows, groups) f32 and zeros (rows, groups) u8, or offsets f32, for w (rows, in); all on
// the device.
// `importance` (in, on the host; or empty: all alike) of each column's errors counts by
// ScaleSearch::importance.
void fit_scales(Backend& backend, ConstView w, const GridFit& fit, View scales, View zeros,
                std::span<const float> importance = {});

}  // namespace halftone
