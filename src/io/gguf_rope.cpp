// Llama 3's rotary scaling (transformers' modeling_rope_utils.py, _compute_llama3_parameters): long
// wavelengths are stretched by `factor`, short ones kept, and those between blended.
#include "io/gguf_rope.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace halftone {

std::vector<double> llama3_divisors(const Llama3Scaling& scaling, double theta, int64_t head_dim) {
  std::vector<double> divisors;
  const auto positions = static_cast<double>(scaling.original_positions);
  for (int64_t i = 0; i < head_dim / 2; ++i) {
    const double exponent = 2 * static_cast<double>(i) / static_cast<double>(head_dim);
    const double wavelength = 2 * std::numbers::pi * std::pow(theta, exponent);
    if (wavelength < positions / scaling.high_freq_factor) {
      divisors.push_back(1);
    } else if (wavelength > positions / scaling.low_freq_factor) {
      divisors.push_back(scaling.factor);
    } else {
      const double smooth = (positions / wavelength - scaling.low_freq_factor) /
                            (scaling.high_freq_factor - scaling.low_freq_factor);
      divisors.push_back(1 / ((1 - smooth) / scaling.factor + smooth));
    }
  }
  return divisors;
}

std::optional<Llama3Scaling> recover_llama3(std::span<const float> divisors, double theta) {
  if (divisors.empty()) return std::nullopt;
  // The converter computes in f32: rounding there moves a divisor by some 1e-6 of itself.
  constexpr double kTolerance = 1e-5;
  Llama3Scaling scaling;
  scaling.factor = *std::max_element(divisors.begin(), divisors.end());
  for (int64_t positions = 1024; positions <= 1 << 20; positions *= 2) {
    for (const double high : {4.0, 2.0, 8.0, 16.0, 32.0}) {
      scaling.original_positions = positions;
      scaling.high_freq_factor = high;
      const auto wanted =
          llama3_divisors(scaling, theta, static_cast<int64_t>(divisors.size()) * 2);
      const bool same =
          std::equal(wanted.begin(), wanted.end(), divisors.begin(),
                     [](double a, float b) { return std::abs(a - b) <= kTolerance * a; });
      if (same) return scaling;
    }
  }
  return std::nullopt;
}

}  // namespace halftone
