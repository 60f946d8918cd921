// A model's weights, all at once, with a bar where that takes a while.
#pragma once

#include <memory>

#include "apps/open_model.h"

namespace halftone {

std::unique_ptr<WeightProvider> load_weights(Backend& backend, const OpenedModel& model,
                                             DType compute, bool quiet);

}  // namespace halftone
