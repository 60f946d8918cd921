// Backend::fit_blocks() on the host, row by row.
#pragma once

#include <span>

#include "backend/backend.h"

namespace halftone {

// Weights of one row, and how much the error of each counts (as many, or none: all alike).
struct WeighedRow {
  std::span<const float> weights, importance;
};

// Scales (groups) and, where the grid has them, offsets (groups) of a row, as fit_blocks() finds
// them.
void fit_block_row(const GridFit& fit, const WeighedRow& row, float* scales, float* offsets);

// Of a matrix (rows, in) by the pool's threads; importance (1, in) or empty. All on the host.
void fit_block_rows(ThreadPool& threads, const GridFit& fit, ConstView w, ConstView importance,
                    View scales, View offsets);

}  // namespace halftone
