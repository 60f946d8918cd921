// Which grids a matrix can have. How scales and zeros are fitted is Backend::fit_grid
// (docs/methods.md §2).
#pragma once

#include <cstdint>
#include <string>

#include "tensor/quantized.h"

namespace halftone {

// Throws Error(usage) naming the module and proposing a size when `grid` cannot hold a (rows, cols)
// matrix: group_size must divide cols, bits be 2 to 6 or 8.
void check_grid(const Grid& grid, int64_t rows, int64_t cols, const std::string& module);

}  // namespace halftone
