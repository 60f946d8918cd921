// CPU backend: negative log likelihood and Kullback-Leibler divergence, without ever storing a
// softmax. With s_i = x_i − max x, Z = Σ exp s_i, and likewise t and Z' for the base:
//   −log p_target = log Z − s_target,   KL = Σ exp(t_i) (t_i − s_i) / Z' − log Z' + log Z.
#include <cassert>
#include <cmath>

#include "backend/cpu/cpu_operations.h"

namespace halftone::cpu {
namespace {

float negative_log_likelihood(const float* logits, int32_t target, float largest, double log_sum) {
  return static_cast<float>(log_sum + static_cast<double>(largest) -
                            static_cast<double>(logits[target]));
}

}  // namespace

void CpuBackend::score(ConstView logits, ConstView base_logits, std::span<const int32_t> targets,
                       View scores) {
  assert(static_cast<int64_t>(targets.size()) == logits.rows && scores.rows == logits.rows);
  assert(logits.dtype == DType::f32 && scores.dtype == DType::f32);
  assert(scores.cols == kScoreColumns);
  for_rows(logits.rows, logits.cols, [&](int64_t row) {
    const float* x = logits.row<float>(row);
    const int32_t target = targets[static_cast<size_t>(row)];
    assert(target >= 0 && target < logits.cols);
    const simd::Largest top = kernels_.largest(x, logits.cols);
    float* out = scores.row<float>(row);
    if (base_logits.empty()) {
      const double log_sum = std::log(kernels_.sum_exp(x, top.value, logits.cols));
      out[kNll] = negative_log_likelihood(x, target, top.value, log_sum);
      out[kBaseNll] = out[kKl] = out[kSameTop] = 0;
      return;
    }
    assert(base_logits.rows == logits.rows && base_logits.cols == logits.cols);
    assert(base_logits.dtype == DType::f32);
    const float* base = base_logits.row<float>(row);
    const simd::Largest base_top = kernels_.largest(base, logits.cols);
    const simd::DivergenceSums sums =
        kernels_.divergence(x, top.value, base, base_top.value, logits.cols);
    const double log_model = std::log(sums.model), log_base = std::log(sums.base);
    out[kNll] = negative_log_likelihood(x, target, top.value, log_model);
    out[kBaseNll] = negative_log_likelihood(base, target, base_top.value, log_base);
    out[kKl] = static_cast<float>(sums.weighted / sums.base - log_base + log_model);
    out[kSameTop] = top.index == base_top.index ? 1.0f : 0.0f;
  });
}

}  // namespace halftone::cpu
