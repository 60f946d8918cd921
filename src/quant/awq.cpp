// Pairs of exponents, coarse ones first, each judged by what rounding to nearest loses at the
// layer's output: with the Hessian's factor, a product a candidate, and no forward pass.
#include "quant/awq.h"

#include <algorithm>
#include <cassert>
#include <cmath>
#include <map>

#include "quant/channel_operations.h"
#include "quant/device_matrix.h"
#include "quant/factor.h"
#include "quant/fit_scales.h"
#include "quant/quadratic_form.h"

namespace halftone {
namespace {

constexpr int kCoarse = 4;       // α, β = i / 4
constexpr int kRefinements = 2;  // each halves the step around the best pair
constexpr double kLeast = 1e-4;  // of s, before it is normalized

// Of a candidate s = rms^α / w̄^β.
struct Exponents {
  double activation = 0, weight = 0;  // α, β
  auto operator<=>(const Exponents&) const = default;
};

// The mean of `values` over the inputs that are in proportion to the same channel of the producer.
std::vector<double> by_channel(const std::vector<double>& values,
                               std::span<const int32_t> channel_of) {
  const int32_t channels = *std::ranges::max_element(channel_of) + 1;
  std::vector<double> sums(static_cast<size_t>(channels)), counts(sums.size());
  for (size_t i = 0; i < values.size(); ++i) {
    const auto channel = static_cast<size_t>(channel_of[i]);
    sums[channel] += values[i];
    ++counts[channel];
  }
  std::vector<double> means(values.size());
  for (size_t i = 0; i < means.size(); ++i) {
    const auto channel = static_cast<size_t>(channel_of[i]);
    means[i] = sums[channel] / counts[channel];
  }
  return means;
}

// Root mean square of each producer's channel over its inputs and the calibration tokens; 0 for
// inputs that calibration never moved.
std::vector<double> channel_rms(const SharedInput& input) {
  std::vector<double> rms = by_channel(input.factor.diagonal, input.channel_of);  // (2/N) Σ x²
  for (double& value : rms) value = std::sqrt(value / 2);
  return rms;
}

// Adds the weights of one linear, each as a part of its group's largest, to its inputs' sums.
void add_weights(Backend& backend, const SampledLinear& linear, std::vector<double>& sums) {
  const int64_t rows = linear.rows.rows, cols = linear.rows.cols;
  const Tensor host(backend.host_allocator(), rows, cols, DType::f32);
  backend.download(linear.rows, host);
  const int64_t width = linear.fit.grid.group_width(cols);
  for (int64_t row = 0; row < rows; ++row) {
    const float* weights = host.row<float>(row);
    for (int64_t begin = 0; begin < cols; begin += width) {
      const int64_t end = std::min(begin + width, cols);
      float largest = 0;
      for (int64_t col = begin; col < end; ++col)
        largest = std::max(largest, std::abs(weights[col]));
      if (largest == 0) continue;
      for (int64_t col = begin; col < end; ++col)
        sums[static_cast<size_t>(col)] += linear.rows_each * std::abs(weights[col]) / largest;
    }
  }
}

// w̄ of each input: the mean over all outputs of |w| / max |w| of its group.
std::vector<double> channel_weights(Backend& backend, const SharedInput& input) {
  std::vector<double> means(input.channel_of.size());
  double rows = 0;
  for (const SampledLinear& linear : input.linears) {
    add_weights(backend, linear, means);
    rows += linear.rows_each * static_cast<double>(linear.rows.rows);
  }
  for (double& mean : means) mean /= rows;
  return by_channel(means, input.channel_of);
}

struct ChannelSizes {
  std::vector<double> rms, weights;
};

std::vector<float> factors_of(const ChannelSizes& sizes, const Exponents& exponents) {
  const std::vector<double>& rms = sizes.rms;
  std::vector<double> factors(rms.size(), 1);
  double least = INFINITY, most = 0;
  for (size_t i = 0; i < rms.size(); ++i) {
    if (rms[i] == 0) continue;
    const double divisor = std::pow(std::max(sizes.weights[i], kLeast), exponents.weight);
    factors[i] = std::max(std::pow(rms[i], exponents.activation) / divisor, kLeast);
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
        importance_(linear.fit.search == ScaleSearch::importance ? factor.importance()
                                                                 : std::vector<float>()),
        matrix_(backend, linear.fit.grid, linear.rows.rows, linear.rows.cols),
        weight_(backend.allocate(linear.rows.rows, linear.rows.cols, DType::f32)),
        errors_(backend.allocate(linear.rows.rows, linear.rows.cols, DType::f32)) {}

  void add(const std::vector<float>& factors, int64_t form, QuadraticForms& forms) {
    Diagonal(backend_, factors).multiply(backend_, linear_.rows, weight_);
    // An error of a weight that is multiplied is divided again.
    std::vector<float> importance = importance_;
    for (size_t i = 0; i < importance.size(); ++i) importance[i] /= factors[i] * factors[i];
    fit_scales(backend_, weight_, linear_.fit, matrix_.scales, matrix_.zeros, importance);
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
  const std::vector<float> importance_;  // of the columns as they are
  DeviceMatrix matrix_;
  Tensor weight_, errors_;
};

// The losses of pairs of exponents, each found once.
class ExponentSearch {
 public:
  ExponentSearch(Backend& backend, const SharedInput& input)
      : backend_(backend),
        input_(input),
        sizes_{channel_rms(input), channel_weights(backend, input)} {}

  // Those of `wanted` that are in [0, 1]² and have not been tried.
  void try_all(const std::vector<Exponents>& wanted) {
    std::vector<Exponents> fresh;
    std::vector<std::vector<float>> factors;
    for (const Exponents& pair : wanted) {
      const bool inside = std::min(pair.activation, pair.weight) >= 0 &&
                          std::max(pair.activation, pair.weight) <= 1;
      if (!inside || losses_.contains(pair)) continue;
      losses_[pair] = 0;
      fresh.push_back(pair);
      factors.push_back(factors_of(sizes_, pair));
    }
    for (const SampledLinear& linear : input_.linears) {
      const auto count = static_cast<int64_t>(fresh.size());
      QuadraticForms forms(backend_, input_.factor, count);
      LossMeter meter(backend_, linear, input_.factor);
      for (int64_t i = 0; i < count; ++i) meter.add(factors[static_cast<size_t>(i)], i, forms);
      const std::vector<double> sampled = forms.read();
      for (size_t i = 0; i < fresh.size(); ++i) losses_[fresh[i]] += linear.rows_each * sampled[i];
    }
  }

  // Of equal ones the smallest exponents.
  Exponents best() const {
    return std::ranges::min_element(losses_, {}, [](const auto& entry) { return entry.second; })
        ->first;
  }
  double loss(const Exponents& pair) const { return losses_.at(pair); }
  std::vector<float> factors(const Exponents& pair) const { return factors_of(sizes_, pair); }

 private:
  Backend& backend_;
  const SharedInput& input_;
  const ChannelSizes sizes_;
  std::map<Exponents, double> losses_;
};

std::vector<Exponents> around(const Exponents& center, double step) {
  std::vector<Exponents> pairs;
  for (const double a : {-step, 0.0, step})
    for (const double b : {-step, 0.0, step})
      pairs.push_back({center.activation + a, center.weight + b});
  return pairs;
}

}  // namespace

ChannelScales search_awq_scales(Backend& backend, const SharedInput& input) {
  assert(input.factor.usable() && input.channel_of.size() == input.factor.diagonal.size());
  ExponentSearch search(backend, input);
  std::vector<Exponents> coarse;
  for (int a = 0; a <= kCoarse; ++a)
    for (int b = 0; b <= kCoarse; ++b) coarse.push_back({a / double{kCoarse}, b / double{kCoarse}});
  search.try_all(coarse);
  double step = 1.0 / kCoarse;
  for (int i = 0; i < kRefinements; ++i) search.try_all(around(search.best(), step /= 2));
  const Exponents best = search.best(), none;
  return {.factors = best == none ? std::vector<float>() : search.factors(best),
          .exponent = best.activation,
          .weight_exponent = best.weight,
          .loss = search.loss(best),
          .plain_loss = search.loss(none)};
}

}  // namespace halftone
