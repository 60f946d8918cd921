// One matrix of a model rounded to nearest, panel by panel.
#pragma once

#include <string>

#include "backend/backend.h"
#include "format/model_writer.h"

namespace halftone {

// Weights that are f32 at a time.
constexpr int64_t kRoundedAtOnce = 4'000'000;

// `module` of the source on its planned grid, scales by search (docs/methods.md §2).
QuantizedMatrix round_matrix(Backend& backend, const WeightSource& source,
                             const PlannedModule& module);

}  // namespace halftone
