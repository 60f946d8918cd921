// How short a scale is where the format stores its product with a zero.
#pragma once

#include <algorithm>

#include "tensor/quantized.h"

namespace halftone {

// Bits of a scale's significand that are given up so that scale · zero is exact: its product with a
// code is as many bits longer. 0 where that is not stored. The last bit is kept.
inline int dropped_bits(const Grid& grid) {
  if (!grid.stores_offset || grid.symmetric) return 0;
  const int held = grid.scales == ScaleStore::f16 ? 11 : grid.scales == ScaleStore::bf16 ? 8 : 24;
  return 24 - std::max(held - grid.bits, 1);
}

}  // namespace halftone
