// GPTQ (Frantar et al., arXiv 2210.17323) as back-substitution with feedback on one LDLᵀ factor
// (design §4; docs/methods.md §3).
#pragma once

#include "quant/factor.h"
#include "quant/method.h"

namespace halftone {

// Falls back to round-to-nearest, and says so in the report, when there is no usable factor, or
// when feedback ran away and the result is worse than rounding (docs/methods.md §5).
SolveResult solve_gptq(Backend& backend, ConstView weight, const Factor* factor,
                       const SolverOptions& options);

}  // namespace halftone
