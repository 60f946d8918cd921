// What --scales-only makes: a dense model that computes what the original does, and whose weights a
// later rounding — llama.cpp's, for one — hurts less.
#pragma once

#include <cstdint>
#include <string>

#include "apps/quantize_output.h"
#include "text/dataset.h"

namespace halftone {

// Fills `directory`, which exists, with input.model in the types of its files, and everything that
// stands beside the weights. Returns the bytes of the weight files.
int64_t write_scaled_model(const OutputInput& input, const std::string& directory);

// The written model against the original on windows that no search has seen.
HeldOutLoss compare_models(Backend& backend, const OpenedModel& original,
                           const OpenedModel& written, const Windows& windows, DType compute);

}  // namespace halftone
