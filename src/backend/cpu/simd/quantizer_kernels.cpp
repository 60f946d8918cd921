// Which of the quantizer's kernels go with an instruction set, and the table of powers that they
// use.
#include "backend/cpu/simd/quantizer_kernels.h"

#include <cmath>
#include <numbers>

namespace halftone::simd {
namespace {

// Interpolation of x^exponent at the Chebyshev nodes of [0.75, 1.5], by divided differences, spread
// out into powers of x.
void fit_power(double exponent, float (&coefficients)[kPowerDegree + 1]) {
  constexpr int kNodes = kPowerDegree + 1;
  double nodes[kNodes], differences[kNodes];
  for (int i = 0; i < kNodes; ++i) {
    nodes[i] = 1.125 + 0.375 * std::cos(std::numbers::pi * (2 * i + 1) / (2 * kNodes));
    differences[i] = std::pow(nodes[i], exponent);
  }
  for (int order = 1; order < kNodes; ++order)
    for (int i = kNodes - 1; i >= order; --i)
      differences[i] = (differences[i] - differences[i - 1]) / (nodes[i] - nodes[i - order]);
  double polynomial[kNodes] = {};
  for (int i = kNodes - 1; i >= 0; --i) {  // polynomial := polynomial · (x − node) + difference
    for (int j = kNodes - 1; j > 0; --j)
      polynomial[j] = polynomial[j - 1] - nodes[i] * polynomial[j];
    polynomial[0] = differences[i] - nodes[i] * polynomial[0];
  }
  for (int i = 0; i < kNodes; ++i) coefficients[i] = static_cast<float>(polynomial[i]);
}

}  // namespace

PowerTable power_table(double power) {
  PowerTable table;
  fit_power(power - 2, table.coefficients);
  for (int i = 0; i < kPowerOctaves; ++i)
    table.octaves[i] = static_cast<float>(std::exp2((power - 2) * (i - (kPowerOctaves - 2))));
  return table;
}

const QuantizerKernels& quantizer_kernels_for(Isa isa) {
  switch (isa) {
    case Isa::amx:
    case Isa::avx512_bf16:
    case Isa::avx512:
      return kAvx512QuantizerKernels;
    case Isa::avx2:
      return kAvx2QuantizerKernels;
    case Isa::scalar:
      break;
  }
  return kScalarQuantizerKernels;
}

}  // namespace halftone::simd
