// The search for scales and offsets where a grid is a table of levels, has offsets that are not
// multiples of the scale, or shares one number among the groups of a superblock (ggml's types).
#pragma once

#include <span>

#include "backend/backend.h"

namespace halftone {

// Weights of one row, and how much the error of each counts (as many, or none: all alike).
struct WeighedRow {
  std::span<const float> weights, importance;

  WeighedRow part(size_t begin, size_t count) const {
    return {weights.subspan(begin, count), importance.subspan(begin, count)};
  }
};

// By groups of neighbours: scales (groups) and, where the grid has them, offsets (groups). What is
// stored in f16 is a value of it, what is a multiple is one. Minimizes about Σ |w − ŵ|^fit.power
// or, where importance is given, Σ importance · (w − ŵ)² (minmax: takes the range). Superblocks:
// the row is a multiple of them.
void fit_block_row(const GridFit& fit, const WeighedRow& row, float* scales, float* offsets);

// The loss that is minimized, for tests; ŵ is the nearest value.
float block_loss(const GridFit& fit, const WeighedRow& row, float scale, float offset);

}  // namespace halftone
