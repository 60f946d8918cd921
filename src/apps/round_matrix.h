// One matrix of a model rounded to nearest, panel by panel.
#pragma once

#include <optional>
#include <string>

#include "backend/backend.h"
#include "format/model_writer.h"

namespace halftone {

// Weights that are f32 at a time.
constexpr int64_t kRoundedAtOnce = 4'000'000;

// `module` of the source on its planned grid, scales by search (docs/methods.md §2).
// Throws Error(bad_input) naming tensor and row for weights that are not finite, or too large for
// the grid's scales.
QuantizedMatrix round_matrix(Backend& backend, const WeightSource& source,
                             const PlannedModule& module);

// The first row with a scale, or offset, at the end of what f16 stores: its weights may be cut off.
std::optional<int64_t> clipped_row(const QuantizedMatrix& matrix);

}  // namespace halftone
