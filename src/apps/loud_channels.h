// Which of a stage's input channels are larger than the others: what makes a layer hard to
// quantize.
#pragma once

#include "apps/stage_record.h"
#include "quant/hessian.h"

namespace halftone {

// Root mean squares of a stage's input channels, from the diagonal of its Hessian: the loudest, and
// the median. Where tokens are weighed (Plan::weighs_tokens), of what the Hessian sees:
// Forward::weighed_input().
void note_channels(const Hessian& hessian, StageRecord& record);

}  // namespace halftone
