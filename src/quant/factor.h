// The LDLᵀ factor of a Hessian that GPTQ substitutes back through (docs/methods.md §3 to §5).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "backend/backend.h"
#include "quant/hessian.h"
#include "quant/method.h"

namespace halftone {

// H' = H + damping, its columns in factored order (factored column 0 is the last one to be
// quantized), as L D Lᵀ. Made once for all linears that take the same input; rows share it.
class Factor {
 public:
  // Of so many inputs, factoring in f64 takes little of a run. Codes of one Hessian from different
  // backends then differ in up to 3 of 10^4, where they did in up to 6 of 10^3 with L in f32, whose
  // rounding differs (Qwen2.5-Coder-0.5B's down, 4,864 inputs: docs/benchmarks.md).
  static constexpr int64_t kExactInputs = 8192;

  // Hessians of at most `exact_inputs` are factored in f64, larger ones in f32. Never throws for
  // what calibration brought: f32 failing or being inexact, f64 is taken, then more damping, at the
  // end the diagonal alone; a Hessian that says nothing (not finite, no token, all zero) gives a
  // factor that is not usable(), and solve_gptq rounds to nearest. `note` says which. The Hessian's
  // memory is released: the factor is all that solving needs.
  static Factor compute(Backend& backend, Hessian&& hessian, ColumnOrder order, double damping,
                        int64_t exact_inputs = kExactInputs);

  // Whether a Hessian of this size is kept in the host's memory while it is factored: on a device,
  // so that Llama-405B's widest leave room. In f32 alone, then: f64 has no room either.
  static bool parks(const Backend& backend, int64_t inputs);

  // (in): H'_kk of each original column, 1 on average: what an error there costs by itself.
  std::vector<float> importance() const;

  bool usable() const { return !lower.empty(); }
  int64_t inputs() const { return static_cast<int64_t>(order.size()); }

  Tensor lower;                  // (in, in) f32 on the device: L below the diagonal, factored order
  Tensor blocks;                 // (in, kBlock) f32: L's diagonal blocks, zero from the diagonal on
  std::vector<double> pivots;    // (in): D, in the units of H, factored order
  std::vector<double> diagonal;  // (in): of H, undamped, original order; 0 for dead columns
  std::vector<int32_t> order;    // (in): original column of each factored column
  std::vector<int32_t> dead;     // original columns with a zero diagonal, ascending
  double damping = 0;            // used, as a fraction of the mean diagonal
  double lambda = 0;             // what was added to the diagonal, in the units of H
  std::string note;              // empty, or what had to be done

  // Columns of the blocks in which products with L are taken.
  static constexpr int64_t kBlock = 512;
};

// `from` (rows, in) in original order → `to`: factored order, dead columns zero.
void gather_factored(Backend& backend, const Factor& factor, ConstView from, View to);

}  // namespace halftone
