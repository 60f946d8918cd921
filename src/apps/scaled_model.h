// A dense model in another basis: the linears of some stages take channels multiplied by factors,
// and what makes these channels is divided by them. It computes the same.
#pragma once

#include <string>
#include <vector>

#include "apps/open_model.h"
#include "quant/transform.h"
#include "tensor/role.h"

namespace halftone {

// What one stage came to.
struct StageScales {
  StageId id;
  ChannelScales scales;
  std::string note;    // why there are none
  double seconds = 0;  // that finding them took, and the way of all windows there
};

// A norm's gain is rounded to the type that it has in the output. The factors of a stage behind a
// norm become what that rounding leaves of them, so that nothing is lost by it.
void make_exact(const OpenedModel& model, StageScales& stage);

// "channels of 118 of 120 stages scaled; rounding's error at their outputs 0.83 of what it was",
// for people.
std::string scaling_text(const std::vector<StageScales>& stages);

// `model` with its stages' factors, which make_exact() has seen; its files are opened anew.
OpenedModel scale_model(const OpenedModel& model, const std::vector<StageScales>& stages);

}  // namespace halftone
