// Reference backend: negative log likelihood and Kullback-Leibler divergence of next-token
// predictions.
#include <algorithm>
#include <cassert>
#include <cmath>

#include "backend/ref/element.h"
#include "backend/ref/ref_operations.h"

namespace halftone::ref {
namespace {

// x_i − log Σ exp x.
std::vector<double> log_softmax(const std::vector<float>& logits) {
  const double largest = *std::max_element(logits.begin(), logits.end());
  double sum = 0;
  for (float logit : logits) sum += std::exp(logit - largest);
  const double log_sum = largest + std::log(sum);
  std::vector<double> log_probability;
  for (float logit : logits) log_probability.push_back(logit - log_sum);
  return log_probability;
}

// The index of the first of the largest.
int64_t top(const std::vector<float>& logits) {
  return std::max_element(logits.begin(), logits.end()) - logits.begin();
}

}  // namespace

void RefBackend::score(ConstView logits, ConstView base_logits, std::span<const int32_t> targets,
                       View scores) {
  assert(static_cast<int64_t>(targets.size()) == logits.rows && scores.rows == logits.rows);
  assert(scores.cols == kScoreColumns && scores.dtype == DType::f32);
  for (int64_t row = 0; row < logits.rows; ++row) {
    const size_t target = static_cast<size_t>(targets[static_cast<size_t>(row)]);
    const std::vector<float> values = load_row(logits, row);
    const std::vector<double> log_p = log_softmax(values);
    float* out = scores.row<float>(row);
    out[kNll] = static_cast<float>(-log_p[target]);
    out[kBaseNll] = out[kKl] = out[kSameTop] = 0;
    if (base_logits.empty()) continue;

    assert(base_logits.rows == logits.rows && base_logits.cols == logits.cols);
    const std::vector<float> base_values = load_row(base_logits, row);
    const std::vector<double> base_log_p = log_softmax(base_values);
    double divergence = 0;
    for (size_t i = 0; i < log_p.size(); ++i)
      divergence += std::exp(base_log_p[i]) * (base_log_p[i] - log_p[i]);
    out[kBaseNll] = static_cast<float>(-base_log_p[target]);
    out[kKl] = static_cast<float>(divergence);
    out[kSameTop] = top(values) == top(base_values) ? 1.0f : 0.0f;
  }
}

}  // namespace halftone::ref
