// Greedy, or softmax(logits / temperature) with a seeded generator.
#include "model/sampler.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "base/error.h"

namespace halftone {

Sampler::Sampler(const SamplerOptions& options) : options_(options), rng_(options.seed) {}

int32_t Sampler::sample(std::span<const float> logits) {
  const auto largest = std::max_element(logits.begin(), logits.end());
  for (const float logit : logits)
    if (!std::isfinite(logit))
      throw bad_input("the model's logits are not finite")
          .hint("it overflows in this type: try --dtype f32.");
  if (options_.temperature <= 0) return static_cast<int32_t>(largest - logits.begin());
  std::vector<double> weights;
  weights.reserve(logits.size());
  double sum = 0;
  for (const float logit : logits) {
    weights.push_back(std::exp((static_cast<double>(logit) - *largest) / options_.temperature));
    sum += weights.back();
  }
  double left = rng_.uniform() * sum;
  for (size_t id = 0; id < weights.size(); ++id) {
    left -= weights[id];
    if (left < 0) return static_cast<int32_t>(id);
  }
  // Rounding left a little over: the likeliest.
  return static_cast<int32_t>(largest - logits.begin());
}

}  // namespace halftone
