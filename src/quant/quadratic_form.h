// tr(M H Mᵀ) from the factor of H, without H (docs/methods.md §6).
#pragma once

#include <cstdint>
#include <vector>

#include "backend/backend.h"
#include "quant/factor.h"

namespace halftone {

// Some values of tr(M H Mᵀ) = Σ_k D_k ‖(M L)_k‖² − λ‖M‖², summed on the device and read once. Each
// m is (rows, in), in factored order, dead columns zero; one form may be added up from many.
class QuadraticForms {
 public:
  QuadraticForms(Backend& backend, const Factor& factor, int64_t forms);

  // `scratch` (rows, in) f32 receives M L.
  void add(int64_t form, ConstView m, View scratch);
  // The two halves of add(), where M L is known already: ‖M‖², perhaps of some columns only, and
  // the squares of the product.
  void add_squares(int64_t form, ConstView m);
  void add_product(int64_t form, ConstView product);

  // Waits for the device. Not negative; what is not a number stays so.
  std::vector<double> read() const;

 private:
  enum Column : int { kProduct, kSquares, kColumns };
  View sum(int64_t form, Column column) const;

  Backend& backend_;
  const Factor& factor_;
  Tensor sums_;  // (forms, kColumns) f64
};

// tr(Δ H Δᵀ) and tr(W H Wᵀ), with Δ = W − Ŵ.
struct LayerError {
  double error = 0, energy = 0;
  double relative() const { return energy > 0 ? error / energy : error; }
};
// weight (rows, in) f32 and its codes, original order, on the device. Waits for it.
LayerError layer_error(Backend& backend, ConstView weight, const CodeView& quantized,
                       const Factor& factor);

}  // namespace halftone
