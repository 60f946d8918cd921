// Steps before the solver: what is done to dense weights so that rounding hurts them less, while
// the model computes the same. A method's row in the table names its transform, or none.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "backend/backend.h"

namespace halftone {

class Factor;

// Some rows of a linear's weight, and the grid that they are rounded to.
struct SampledLinear {
  ConstView rows;        // (sampled, in) f32 on the device
  double rows_each = 1;  // rows of the linear for each sampled one
  GridFit fit;
};

// Linears that take the same input, and what is known of it.
struct SharedInput {
  const Factor& factor;  // of the input's Hessian; usable()
  std::span<const SampledLinear> linears;
  // (in): the channel of the producer that each input is in proportion to: inputs with the same one
  // take the same factor.
  std::span<const int32_t> channel_of;
};

// A diagonal change of basis: x := x / s and W := W · diag(s), so that x Wᵀ stays as it is.
struct ChannelScales {
  std::vector<float> factors;  // (in): s, positive; empty: all ones
  double exponent = 0;         // AWQ's α, of the activations
  double weight_exponent = 0;  // and β, of the weights
  // Σ tr(Δ H Δᵀ) over the linears, Δ the error of rounding W s by itself, over s: with these
  // factors, and without any.
  double loss = 0, plain_loss = 0;
};

using Transform = ChannelScales (*)(Backend&, const SharedInput&);

}  // namespace halftone
