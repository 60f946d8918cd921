// CUDA: negative log likelihood, Kullback-Leibler divergence and the same top token, in one pass
// over the logits: each thread keeps its largest logit and sums relative to it, rescaled when a
// larger one comes ("online softmax", arXiv 1805.02867).
#include <math_constants.h>

#include "backend/cuda/cuda_operations.h"
#include "backend/cuda/elements.cuh"

namespace halftone::cuda {
namespace {

constexpr int kThreads = 512;

// Of some logits x: the largest and where it stands first, Σ exp(x − largest), and, of a base with
// a model beside it, Σ exp(x − largest) · (x − the model's x).
struct Partial {
  float largest;
  int32_t first;
  double sum, moved;
};

__device__ Partial nothing() { return {-CUDART_INF_F, INT32_MAX, 0, 0}; }

__device__ double rescaling(float from, float to) {
  return from == -CUDART_INF_F ? 0.0 : static_cast<double>(expf(from - to));
}

template <bool kMoved, int kWidth>
__device__ void include(Partial& partial, const float (&x)[kWidth], const float (&other)[kWidth],
                        int32_t col) {
  float largest = partial.largest;
#pragma unroll
  for (int i = 0; i < kWidth; ++i) {
    if (x[i] > largest) {
      largest = x[i];
      partial.first = col + i;
    }
  }
  if (largest > partial.largest) {
    const double factor = rescaling(partial.largest, largest);
    partial.sum *= factor;
    partial.moved *= factor;
    partial.largest = largest;
  }
  float sum = 0;
#pragma unroll
  for (int i = 0; i < kWidth; ++i) {
    const float weight = x[i] == -CUDART_INF_F ? 0.0f : expf(x[i] - largest);
    sum += weight;
    if constexpr (kMoved) partial.moved += weight * (double{x[i]} - double{other[i]});
  }
  partial.sum += sum;
}

__device__ Partial merged(const Partial& a, const Partial& b) {
  const bool b_leads = b.largest > a.largest || (b.largest == a.largest && b.first < a.first);
  const Partial& lead = b_leads ? b : a;
  const double of_a = rescaling(a.largest, lead.largest), of_b = rescaling(b.largest, lead.largest);
  return {lead.largest, lead.first, a.sum * of_a + b.sum * of_b, a.moved * of_a + b.moved * of_b};
}

// The whole block's, in thread 0; the others have no part in the last step.
__device__ Partial reduce(Partial partial) {
  __shared__ Partial parts[kThreads];
  __syncthreads();  // the parts before have been read
  parts[threadIdx.x] = partial;
  for (int count = kThreads / 2; count > 0; count /= 2) {
    __syncthreads();
    if (threadIdx.x < count)
      parts[threadIdx.x] = merged(parts[threadIdx.x], parts[threadIdx.x + count]);
  }
  return threadIdx.x == 0 ? parts[0] : partial;
}

template <int kWidth, bool kBase>
__global__ void __launch_bounds__(kThreads)
    score_rows(Rows<const float> logits, Rows<const float> base_logits, const int32_t* targets,
               int64_t vocab, Rows<float> scores) {
  const int64_t row = blockIdx.x;
  const float* x = logits.row(row);
  const float* base_x = kBase ? base_logits.row(row) : nullptr;
  Partial model = nothing(), base = nothing();
  for (int64_t col = threadIdx.x * kWidth; col < vocab; col += kThreads * kWidth) {
    float values[kWidth], base_values[kWidth];
    load<kWidth>(x + col, values);
    include<false>(model, values, values, static_cast<int32_t>(col));
    if constexpr (kBase) {
      load<kWidth>(base_x + col, base_values);
      include<true>(base, base_values, values, static_cast<int32_t>(col));
    }
  }
  model = reduce(model);
  if constexpr (kBase) base = reduce(base);
  if (threadIdx.x != 0) return;
  const int32_t target = targets[row];
  const double log_sum = double{model.largest} + log(model.sum);
  float* out = scores.row(row);
  out[kNll] = static_cast<float>(log_sum - x[target]);
  out[kBaseNll] = out[kKl] = out[kSameTop] = 0;
  if constexpr (kBase) {
    const double base_log_sum = double{base.largest} + log(base.sum);
    out[kBaseNll] = static_cast<float>(base_log_sum - base_x[target]);
    out[kKl] = static_cast<float>(base.moved / base.sum - base_log_sum + log_sum);
    out[kSameTop] = model.first == base.first ? 1.0f : 0.0f;
  }
}

}  // namespace

void score(Context& context, ConstView logits, ConstView base_logits,
           std::span<const int32_t> targets, View scores) {
  assert(static_cast<int64_t>(targets.size()) == logits.rows && scores.rows == logits.rows);
  assert(scores.cols == kScoreColumns && scores.dtype == DType::f32 && logits.dtype == DType::f32);
  assert(base_logits.empty() ||
         (base_logits.cols == logits.cols && base_logits.dtype == DType::f32));
  if (logits.empty()) return;
  const Tensor on_device = context.to_device(targets);
  const bool base = !base_logits.empty();
  const bool eights = in_eights(logits) && (!base || in_eights(base_logits));
  const auto launch = [&](auto kernel) {
    kernel<<<static_cast<unsigned>(logits.rows), kThreads, 0, context.compute()>>>(
        rows_of<float>(logits), rows_of<float>(base_logits), data_of<int32_t>(on_device),
        logits.cols, rows_of<float>(scores));
  };
  if (eights && base) launch(score_rows<8, true>);
  if (eights && !base) launch(score_rows<8, false>);
  if (!eights && base) launch(score_rows<1, true>);
  if (!eights && !base) launch(score_rows<1, false>);
  check_launch({"score", {logits.rows, logits.cols}});
}

}  // namespace halftone::cuda
