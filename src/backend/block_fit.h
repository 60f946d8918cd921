// Backend::fit_blocks() on the host, on any processor.
#pragma once

#include <vector>

#include "backend/backend.h"
#include "backend/block_lanes.h"

namespace halftone {

// The importance of each column as BlockLanes takes its groups, kBlockLanes of them side by side;
// null: ones. Laid out once for all rows of a matrix.
std::vector<float> block_counts(const BlockGrid& grid, const float* importance, int64_t groups);

// What fit_block_rows() does with a row, in the instructions of a processor.
using FitBlockRow = void (*)(const BlockGrid& grid, const BlockRow& row);
void fit_block_row(const BlockGrid& grid, const BlockRow& row);  // in everybody's

// w (rows, in) by the pool's threads; importance (1, in) or empty. All on the host.
void fit_block_rows(ThreadPool& threads, const GridFit& fit, ConstView w, ConstView importance,
                    View scales, View offsets, FitBlockRow fit_row = fit_block_row);

}  // namespace halftone
