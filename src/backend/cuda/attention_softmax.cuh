// What the tensor cores' kernels of attention do with scores in registers: mask, soft cap, running
// softmax (arXiv 2205.14135), and the result's way out. Of each 16 × 8 tile a thread of a warp, g =
// lane / 4 and t = lane % 4, has rows g and g + 8 and columns 2t and 2t + 1.
#pragma once

#include <math_constants.h>

#include "backend/cuda/attention_launch.cuh"
#include "backend/cuda/tensor_core.cuh"

namespace halftone::cuda {

inline constexpr float kLog2E = 1.44269504088896341f;

template <class Out>
using TensorCoreArguments = AttentionArguments<__nv_bfloat16, Out>;

// The largest score so far and the sum of weights, of the thread's two rows of a tile.
struct Running {
  float largest[2], sum[2];
};

// Scores become weights exp(score − largest), relative to the new largest; `factors` rescale what
// was summed before. `scale` takes a score to a power of two.
template <int kKeyTiles>
__device__ void soften(float (&scores)[kKeyTiles][4], Running& running, float scale,
                       float (&factors)[2]) {
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    float now = running.largest[half];
#pragma unroll
    for (int n = 0; n < kKeyTiles; ++n)
      now = fmaxf(now, fmaxf(scores[n][2 * half], scores[n][2 * half + 1]));
    now = fmaxf(now, __shfl_xor_sync(0xffffffffu, now, 1));
    now = fmaxf(now, __shfl_xor_sync(0xffffffffu, now, 2));
    const float base = now == -CUDART_INF_F ? 0.0f : now * scale;  // nothing seen yet
    factors[half] = exp2_fast(running.largest[half] * scale - base);
    running.largest[half] = now;
    float added = 0;
#pragma unroll
    for (int n = 0; n < kKeyTiles; ++n) {
#pragma unroll
      for (int i = 2 * half; i < 2 * half + 2; ++i) {
        scores[n][i] = exp2_fast(fmaf(scores[n][i], scale, -base));
        added += scores[n][i];
      }
    }
    running.sum[half] = running.sum[half] * factors[half] + added;
  }
}

template <int kDimTiles>
__device__ void rescale(float (&result)[kDimTiles][4], const float (&factors)[2]) {
#pragma unroll
  for (int n = 0; n < kDimTiles; ++n)
#pragma unroll
    for (int i = 0; i < 4; ++i) result[n][i] *= factors[i / 2];
}

// −∞ for the keys that a query does not see; the soft cap before that.
template <int kKeyTiles>
__device__ void mask(float (&scores)[kKeyTiles][4], int first_key, int first_position,
                     const AttentionSpec& spec) {
  const int lane = threadIdx.x % 32;
#pragma unroll
  for (int n = 0; n < kKeyTiles; ++n) {
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const int key = first_key + n * 8 + lane % 4 * 2 + i % 2;
      const int position = first_position + lane / 4 + i / 2 * 8;
      if (key > position || (spec.window > 0 && key <= position - spec.window))
        scores[n][i] = -CUDART_INF_F;
    }
  }
}

template <int kKeyTiles>
__device__ void cap(float (&scores)[kKeyTiles][4], const AttentionSpec& spec) {
  const float inward = 2 * kLog2E * spec.scale / spec.softcap;
#pragma unroll
  for (int n = 0; n < kKeyTiles; ++n)
#pragma unroll
    for (int i = 0; i < 4; ++i)  // tanh x = 1 − 2 / (e^2x + 1)
      scores[n][i] = spec.softcap * (1 - __fdividef(2.0f, exp2_fast(scores[n][i] * inward) + 1));
}

template <int kDim, class Out>
__device__ void write_result(const float (&result)[kDim / 8][4], Running running, Out* y,
                             int64_t ld, int rows) {
  const int lane = threadIdx.x % 32;
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    float sum = running.sum[half];
    sum += __shfl_xor_sync(0xffffffffu, sum, 1);
    sum += __shfl_xor_sync(0xffffffffu, sum, 2);
    const float inverse = 1 / sum;
    const int row = lane / 4 + half * 8;
    if (row >= rows) continue;
    Out* to = y + row * ld + lane % 4 * 2;
#pragma unroll
    for (int n = 0; n < kDim / 8; ++n)
      store_pair(to + n * 8, result[n][2 * half] * inverse, result[n][2 * half + 1] * inverse);
  }
}

}  // namespace halftone::cuda
