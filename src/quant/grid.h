// Fitting and using a grid on the host in plain loops: the definition that backends are held to, and
// what round-to-nearest uses.
#pragma once

#include <cstdint>
#include <string>

#include "backend/backend.h"
#include "tensor/quantized.h"

namespace halftone {

// Throws Error(usage) naming the module and proposing a size when `grid` cannot hold a (rows, cols)
// matrix: group_size must divide cols, bits be 2, 3, 4 or 8.
void check_grid(const Grid& grid, int64_t rows, int64_t cols, const std::string& module);

}  // namespace halftone
