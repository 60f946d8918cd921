// Calibration windows of random tokens, for a bench.
#pragma once

#include "apps/calibration.h"
#include "apps/plan.h"

namespace halftone {

// As many windows, held-out ones too, as a run with these options has, by its seed; with
// --sequences whole of lengths as conversations have them.
Calibration random_calibration(const QuantizeOptions& options, int64_t vocab);

}  // namespace halftone
