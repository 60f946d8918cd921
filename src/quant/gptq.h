// GPTQ (Frantar et al., arXiv 2210.17323) as back-substitution with feedback on one LDLᵀ factor
// (design §4; docs/methods.md §3).
#pragma once

#include "quant/factor.h"
#include "quant/method.h"

namespace halftone {

// Rows are independent of each other: at most so many weights are solved at a time, which bounds
// the memory to 9 bytes each. QwQ-32B's largest matrix is one panel.
constexpr int64_t kMostPanelWeights = 144'000'000;

// Falls back to round-to-nearest, and says so in the report, when there is no usable factor, or
// when feedback ran away and the result is worse than rounding (docs/methods.md §5).
SolveResult solve_gptq(Backend& backend, ConstView weight, const Factor* factor,
                       const SolverOptions& options);

}  // namespace halftone
