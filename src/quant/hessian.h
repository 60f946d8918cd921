// The second moment of a linear's inputs, H = (2/N) Σ xᵀx, shared by the linears that share an
// input.
#pragma once

#include <cstdint>
#include <vector>

#include "backend/backend.h"

namespace halftone {

class Hessian {
 public:
  Hessian(Backend& backend, int64_t inputs);
  // One that was summed over `tokens` tokens before: its lower triangle (inputs, inputs), f32.
  Hessian(Backend& backend, Tensor sum, int64_t tokens);

  // x (n, inputs), n calibration tokens; row_weights (1, n) or empty.
  void accumulate(ConstView x, ConstView row_weights = {});
  // The sum over tokens, lower triangle, (inputs, inputs) f32 on the device; and N.
  ConstView sum() const { return sum_; }
  int64_t tokens() const { return tokens_; }
  int64_t inputs() const { return sum_.rows(); }

  // The diagonal of sum(), on the host: for each input, the sum of its squares. Waits for the
  // device the first time; valid until more is accumulated.
  const std::vector<float>& diagonal() const;
  // False when an activation overflowed or was not a number. Reads the diagonal alone, which is
  // enough: |H_ij| ≤ max(H_ii, H_jj), so nothing overflows beside it. Factor::compute copes with
  // such a Hessian; whoever wants to stop earlier, or to name the module, asks here.
  bool finite() const;

 private:
  Backend& backend_;
  Tensor sum_;
  int64_t tokens_ = 0;
  mutable std::vector<float> diagonal_;  // empty until it is read
};

}  // namespace halftone
