// A grid of exponents, each judged by what rounding to nearest loses at the layer's output: with
// the Hessian's factor, a product a candidate, and no forward pass.
#include "quant/awq.h"

#include <algorithm>
#include <cassert>
#include <cmath>

#include "quant/channel_operations.h"
#include "quant/device_matrix.h"
#include "quant/factor.h"
#include "quant/fit_scales.h"
#include "quant/quadratic_form.h"

namespace halftone {
namespace {

constexpr int kExponents = 20;   // α = i / 20
constexpr double kLeast = 1e-4;  // of s, before it is normalized

// Root mean square of each producer's channel over its inputs and the calibration tokens; 0 for
// inputs that calibration never moved.
std::vector<double> channel_rms(const SharedInput& input) {
  const std::vector<double>& diagonal = input.factor.diagonal;  // (2/N) Σ x²
  const int32_t channels = *std::ranges::max_element(input.channel_of) + 1;
  std::vector<double> sums(static_cast<size_t>(channels)), counts(sums.size());
  for (size_t i = 0; i < diagonal.size(); ++i) {
    const auto channel = static_cast<size_t>(input.channel_of[i]);
    sums[channel] += diagonal[i] / 2;
    ++counts[channel];
  }
  std::vector<double> rms(diagonal.size());
  for (size_t i = 0; i < rms.size(); ++i) {
    const auto channel = static_cast<size_t>(input.channel_of[i]);
    rms[i] = std::sqrt(sums[channel] / counts[channel]);
  }
  return rms;
}

std::vector<float> factors_of(const std::vector<double>& rms, double exponent) {
  std::vector<double> factors(rms.size(), 1);
  double least = INFINITY, most = 0;
  for (size_t i = 0; i < rms.size(); ++i) {
    if (rms[i] == 0) continue;
    factors[i] = std::max(std::pow(rms[i], exponent), kLeast);
    least = std::min(least, factors[i]);
    most = std::max(most, factors[i]);
  }
  const double middle = std::sqrt(least * most);
  for (size_t i = 0; i < rms.size(); ++i)
    if (rms[i] > 0) factors[i] /= middle;
  return {factors.begin(), factors.end()};
}

std::vector<float> inverse(const std::vector<float>& factors) {
  std::vector<float> inverses;
  for (const float factor : factors) inverses.push_back(1 / factor);
  return inverses;
}

// Adds up what rounding `linear`, its columns multiplied with `factors`, does to the output.
class LossMeter {
 public:
  LossMeter(Backend& backend, const SampledLinear& linear, const Factor& factor)
      : backend_(backend),
        linear_(linear),
        factor_(factor),
        matrix_(backend, linear.fit.grid, linear.rows.rows, linear.rows.cols),
        weight_(backend.allocate(linear.rows.rows, linear.rows.cols, DType::f32)),
        errors_(backend.allocate(linear.rows.rows, linear.rows.cols, DType::f32)) {}

  void add(const std::vector<float>& factors, int64_t form, QuadraticForms& forms) {
    Diagonal(backend_, factors).multiply(backend_, linear_.rows, weight_);
    fit_scales(backend_, weight_, linear_.fit, matrix_.scales, matrix_.zeros);
    backend_.encode(weight_, linear_.fit.grid, matrix_.view());
    backend_.code_errors(weight_, matrix_.view(), errors_);
    Diagonal(backend_, inverse(factors)).multiply(backend_, errors_, weight_);
    gather_factored(backend_, factor_, weight_, errors_);
    forms.add(form, errors_, weight_);
  }

 private:
  Backend& backend_;
  const SampledLinear& linear_;
  const Factor& factor_;
  DeviceMatrix matrix_;
  Tensor weight_, errors_;
};

}  // namespace

ChannelScales search_awq_scales(Backend& backend, const SharedInput& input) {
  assert(input.factor.usable() && input.channel_of.size() == input.factor.diagonal.size());
  const std::vector<double> rms = channel_rms(input);
  std::vector<std::vector<float>> candidates;
  for (int i = 0; i < kExponents; ++i)
    candidates.push_back(factors_of(rms, i / double{kExponents}));

  double losses[kExponents] = {};
  for (const SampledLinear& linear : input.linears) {
    QuadraticForms forms(backend, input.factor, kExponents);
    LossMeter meter(backend, linear, input.factor);
    for (int i = 0; i < kExponents; ++i) meter.add(candidates[static_cast<size_t>(i)], i, forms);
    const std::vector<double> sampled = forms.read();
    for (int i = 0; i < kExponents; ++i)
      losses[i] += linear.rows_each * sampled[static_cast<size_t>(i)];
  }
  const auto best = std::min_element(losses, losses + kExponents) - losses;
  return {.factors = best == 0 ? std::vector<float>() : candidates[static_cast<size_t>(best)],
          .exponent = static_cast<double>(best) / kExponents,
          .loss = losses[best],
          .plain_loss = losses[0]};
}

}  // namespace halftone
