// AWQ's search for channel scales (Lin et al., arXiv 2306.00978; docs/methods.md §8).
#pragma once

#include "quant/transform.h"

namespace halftone {

// The factors s = rms(x)^α / w̄^β, normalized to √(max s · min s) = 1, w̄ the mean of an input's
// weights, each as a part of its group's largest; of the pairs (α, β) of quarters, and of eighths
// and sixteenths around the best of them, the one with the least loss. Dead inputs keep 1.
ChannelScales search_awq_scales(Backend& backend, const SharedInput& input);

}  // namespace halftone
