// AWQ's clipping (Lin et al., arXiv 2306.00978; docs/methods.md §8): ranges of groups shrunk so as
// to lose least at the layer's output, each group by itself.
#pragma once

#include <cstdint>

#include "backend/backend.h"
#include "quant/hessian.h"
#include "quant/method.h"

namespace halftone {

// The diagonal blocks of a Hessian: of each group's inputs among themselves.
class GroupMoments {
 public:
  // Groups of `width` neighbouring inputs. Keeps nothing of the Hessian.
  GroupMoments(Backend& backend, const Hessian& hessian, int64_t width);

  int64_t width() const { return width_; }
  // product (rows, in) := errors · B, where errors · B · errorsᵀ, group by group, is half the loss.
  void multiply(Backend& backend, ConstView errors, View product) const;

 private:
  int64_t width_ = 0;
  Tensor half_;  // (in, width): what is below the blocks' diagonals, and half of these
};

// Scales and zeros of weight (rows, in) by options.fit; with options.clip and moments by ranges p ·
// (min, max), p = 1, 0.95 … 0.55, the one with the least loss, of equal ones the widest. Grids
// without plain levels are fitted by importance then.
void fit_ranges(Backend& backend, ConstView weight, const SolverOptions& options, View scales,
                View zeros, std::span<const float> importance = {});

}  // namespace halftone
