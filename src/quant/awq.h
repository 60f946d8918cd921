// AWQ's search for channel scales (Lin et al., arXiv 2306.00978; docs/methods.md §8).
#pragma once

#include "quant/transform.h"

namespace halftone {

// The factors s = rms(x)^α, normalized to √(max s · min s) = 1, of the α in 0, 1/20 … 19/20 with
// the least loss; of equal ones the smallest. Dead inputs keep 1.
ChannelScales search_awq_scales(Backend& backend, const SharedInput& input);

}  // namespace halftone
