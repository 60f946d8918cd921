// GPTQ (Frantar et al., arXiv 2210.17323) as back-substitution with feedback on one LDLᵀ factor
// (design §4; docs/methods.md §3).
#pragma once

#include <vector>

#include "quant/method.h"

namespace halftone {

// The factor of one Hessian, for every linear that takes the same input. Damped, ordered, reversed:
// factored column 0 is the last one to be quantized.
class Factor {
 public:
  // H = (2/N) · hessian.sum() with dead columns and damping handled as docs/methods.md §3 says; the
  // f32 factorization failing, f64 is tried, then more damping, never giving up: at the end H is
  // replaced by its diagonal.
  static Factor compute(Backend& backend, const Hessian& hessian, ColumnOrder order, double damping);

  Tensor hessian;               // (in, in) f32 lower: (2/N) Σxᵀx, not damped, original order
  Tensor lower;                 // (in, in) f32: unit lower L, factored order
  std::vector<int32_t> order;   // (in): original column of each factored column
  std::vector<int32_t> dead;    // original columns with a zero diagonal, ascending
  double damping = 0;           // used, as a fraction of the mean diagonal
  std::string note;             // empty, or what had to be done
};

SolveResult solve_gptq(Backend& backend, ConstView weight, const Factor* factor,
                       const SolverOptions& options);

// tr(Δ H Δᵀ) / tr(W H Wᵀ), with Δ = W − Ŵ, H as Factor::hessian, in f64 on the host or by the
// backend's products.
double relative_error(Backend& backend, ConstView weight, const QuantizedMatrix& quantized,
                      ConstView hessian);

}  // namespace halftone
