// Products with diagonal matrices and inner products of groups, of a backend's operations: what the
// searches for channel scales and for clipped ranges are made of.
#pragma once

#include <cstdint>
#include <span>

#include "backend/backend.h"

namespace halftone {

// A diagonal matrix on the device, as the blocks of it that are not zero.
class Diagonal {
 public:
  Diagonal(Backend& backend, std::span<const float> values);
  // product (rows, n) := m (rows, n) with column k multiplied by value k; f32, m is not product.
  // Exact but for the product's rounding.
  void multiply(Backend& backend, ConstView m, View product) const;

 private:
  Tensor blocks_;  // (n, kWidth)
};

// sums (rows, groups) f32 on the host := Σ a_rk · b_rk over each group of `width` neighbouring
// columns; a and b (rows, n) f32 on the device, which is waited for.
void dot_groups(Backend& backend, ConstView a, ConstView b, int64_t width, View sums);

}  // namespace halftone
