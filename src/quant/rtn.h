// Round to nearest: every weight to the closest value of its group's grid. With
// ScaleSearch::minmax, scale 2·max|w|/(2^b − 1): the baseline of every comparison.
#pragma once

#include "quant/method.h"

namespace halftone {

// The factor may be null; when it is given and usable, it serves to report the layer error.
SolveResult solve_rtn(Backend& backend, ConstView weight, const Factor* factor,
                      const SolverOptions& options);

}  // namespace halftone
