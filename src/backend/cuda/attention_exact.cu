// CUDA: attention with f32 products and sums, in blocks with a running softmax (arXiv 2205.14135):
// the path of f32 models, of old cards and of head sizes that the tensor cores' kernel lacks.
//
// A block of 16 × 16 threads serves 16·R queries; it goes over the keys 16·R at a time. Thread
// (ty, tx) has queries ty·R + i and, of scores, keys tx + 16·j, of results, columns tx + 16·c.
#include <math_constants.h>

#include "backend/cuda/attention_launch.cuh"

namespace halftone::cuda {
namespace {

constexpr int kSide = 16, kThreads = kSide * kSide;

// Rows of `from` as f32 into shared memory, zeros beyond `rows` and beyond the head.
template <int kDim, int kRows, class T>
__device__ void load_tile(Rows<const T> from, int64_t first_row, int rows, int64_t first_col,
                          int head_dim, float* to) {
  for (int i = threadIdx.x; i < kRows * kDim; i += kThreads) {
    const int row = i / kDim, col = i % kDim;
    const bool inside = row < rows && col < head_dim;
    to[row * (kDim + 1) + col] =
        inside ? to_float(from.row(first_row + row)[first_col + col]) : 0.0f;
  }
}

// The largest and the sum over the 16 threads that share queries.
__device__ float largest_of_side(float value) {
  for (int distance = kSide / 2; distance > 0; distance /= 2)
    value = fmaxf(value, __shfl_xor_sync(0xffffffffu, value, distance));
  return value;
}
__device__ float sum_of_side(float value) {
  for (int distance = kSide / 2; distance > 0; distance /= 2)
    value += __shfl_xor_sync(0xffffffffu, value, distance);
  return value;
}

template <int kDim, int R>
constexpr size_t shared_bytes() {
  constexpr int rows = kSide * R;
  return sizeof(float) * (2 * rows * (kDim + 1) + rows * (rows + 1));
}

template <int kDim, int R, class In, class Out>
__global__ void __launch_bounds__(kThreads) attend_exactly(AttentionArguments<In, Out> a) {
  constexpr int kRows = kSide * R, kStride = kDim + 1, kColumns = kDim / kSide;
  extern __shared__ float shared[];
  float* q_tile = shared;
  float* kv_tile = q_tile + kRows * kStride;
  float* weights = kv_tile + kRows * kStride;  // (kRows, kRows + 1)
  const AttentionSpec& spec = a.spec;
  const int head = static_cast<int>(blockIdx.x % spec.heads);
  const QueryTile tile = a.tiles[blockIdx.x / spec.heads];
  const int64_t q_col = int64_t{head} * spec.head_dim;
  const int64_t kv_col = int64_t{head / (spec.heads / spec.kv_heads)} * spec.head_dim;
  const int ty = threadIdx.x / kSide, tx = threadIdx.x % kSide;

  load_tile<kDim, kRows>(a.q, tile.q_row, tile.queries, q_col, spec.head_dim, q_tile);
  float largest[R], sum[R], result[R][kColumns];
  for (int i = 0; i < R; ++i) {
    largest[i] = -CUDART_INF_F;
    sum[i] = 0;
    for (int c = 0; c < kColumns; ++c) result[i][c] = 0;
  }
  const int end = tile.last + tile.queries;
  const int first = spec.window > 0 ? max(0, tile.last - spec.window + 1) : 0;
  for (int key = first; key < end; key += kRows) {
    const int keys = min(kRows, end - key);
    __syncthreads();  // the values before have been read
    load_tile<kDim, kRows>(a.k, tile.kv_row + key, keys, kv_col, spec.head_dim, kv_tile);
    __syncthreads();
    float score[R][R];
    for (int i = 0; i < R; ++i)
      for (int j = 0; j < R; ++j) score[i][j] = 0;
#pragma unroll 4
    for (int d = 0; d < kDim; ++d) {
      float q[R], k[R];
      for (int i = 0; i < R; ++i) q[i] = q_tile[(ty * R + i) * kStride + d];
      for (int j = 0; j < R; ++j) k[j] = kv_tile[(tx + kSide * j) * kStride + d];
      for (int i = 0; i < R; ++i)
        for (int j = 0; j < R; ++j) score[i][j] += q[i] * k[j];
    }
    for (int i = 0; i < R; ++i) {
      const int position = tile.last + ty * R + i;
      float now = largest[i];
      for (int j = 0; j < R; ++j) {
        const int at = key + tx + kSide * j;
        float s = score[i][j] * spec.scale;
        if (spec.softcap > 0) s = spec.softcap * tanhf(s / spec.softcap);
        const bool seen = at <= position && (spec.window == 0 || at > position - spec.window);
        score[i][j] = seen ? s : -CUDART_INF_F;
        now = fmaxf(now, score[i][j]);
      }
      now = largest_of_side(now);
      const float base = now == -CUDART_INF_F ? 0.0f : now;  // nothing seen yet
      const float factor = expf(largest[i] - base);
      float added = 0;
      for (int j = 0; j < R; ++j) {
        const float weight = expf(score[i][j] - base);
        weights[(ty * R + i) * (kRows + 1) + tx + kSide * j] = weight;
        added += weight;
      }
      sum[i] = sum[i] * factor + sum_of_side(added);
      largest[i] = now;
      for (int c = 0; c < kColumns; ++c) result[i][c] *= factor;
    }
    __syncthreads();  // the keys have been read
    load_tile<kDim, kRows>(a.v, tile.kv_row + key, keys, kv_col, spec.head_dim, kv_tile);
    __syncthreads();
    for (int k = 0; k < keys; ++k) {
      float weight[R];
      for (int i = 0; i < R; ++i) weight[i] = weights[(ty * R + i) * (kRows + 1) + k];
      for (int c = 0; c < kColumns; ++c) {
        const float value = kv_tile[k * kStride + tx + kSide * c];
        for (int i = 0; i < R; ++i) result[i][c] += weight[i] * value;
      }
    }
  }
  for (int i = 0; i < R; ++i) {
    if (ty * R + i >= tile.queries) continue;
    Out* y = a.y.row(tile.q_row + ty * R + i) + q_col;
    for (int c = 0; c < kColumns; ++c)
      if (tx + kSide * c < spec.head_dim)
        y[tx + kSide * c] = from_float<Out>(result[i][c] / sum[i]);
  }
}

// The most queries a block whose tiles fit the card's shared memory.
template <class Body>
void with_tile(const Context& context, int head_dim, Body body) {
  const size_t memory = static_cast<size_t>(context.card().shared_memory);
  if (head_dim <= 64) return body.template operator()<64, 4>();
  if (head_dim <= 128) {
    if (shared_bytes<128, 4>() <= memory) return body.template operator()<128, 4>();
    return body.template operator()<128, 2>();
  }
  if (shared_bytes<256, 2>() <= memory) return body.template operator()<256, 2>();
  return body.template operator()<256, 1>();
}

}  // namespace

int exact_attention_tile(const Context& context, const AttentionSpec& spec) {
  int queries = 0;
  with_tile(context, spec.head_dim, [&]<int kDim, int R>() { queries = kSide * R; });
  return queries;
}

void exact_attention(Context& context, const AttentionCall& call) {
  assert(call.q.dtype == call.k.dtype && call.k.dtype == call.v.dtype);
  with_activation_type(call.q.dtype, [&](auto in) {
    with_activation_type(call.y.dtype, [&](auto out) {
      using In = typename decltype(in)::Type;
      using Out = typename decltype(out)::Type;
      with_tile(context, call.spec.head_dim, [&]<int kDim, int R>() {
        launch_attention<In, Out>(context, call, {kThreads, shared_bytes<kDim, R>()},
                                  attend_exactly<kDim, R, In, Out>);
      });
    });
  });
}

}  // namespace halftone::cuda
