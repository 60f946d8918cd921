// The rate at which this machine multiplies matrices, measured: the ceiling that speeds are held
// to.
#pragma once

#include "backend/backend.h"

namespace halftone {

// Operations a second of the backend's dense products of `type` (2·m·n·k each): the best of a few
// rounds over shapes that are kind to caches, about half a second in all.
double measure_product_rate(Backend& backend, DType type);

}  // namespace halftone
