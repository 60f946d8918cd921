// The search for scales and offsets where a grid is a table of levels, has offsets that are not
// multiples of the scale, or shares one number among the groups of a superblock (ggml's types).
#pragma once

#include <span>

#include "backend/backend.h"

namespace halftone {

// For one row of weights, by groups of neighbours; scales (groups) and, where the grid has them,
// offsets (groups). What is stored in f16 is a value of it, what is a multiple is one. Minimizes
// about Σ |w − ŵ|^fit.power (minmax: takes the range). Superblocks: the row is a multiple of them.
void fit_block_row(const GridFit& fit, std::span<const float> weights, float* scales,
                   float* offsets);

// The loss that is minimized, for tests: Σ of about |w − ŵ|^power, ŵ the nearest value.
float block_loss(const GridFit& fit, std::span<const float> weights, float scale, float offset);

}  // namespace halftone
