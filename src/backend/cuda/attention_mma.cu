// CUDA: attention on the tensor cores of compute capability 8.0 and later, bf16 with f32 sums,
// after FlashAttention-2 (arXiv 2307.08691): four warps serve 16 or 32 queries each; keys and
// values go by in tiles, the next one loading (cp.async) while this one is multiplied (mma.sync
// m16n8k16).
#include "backend/cuda/attention_softmax.cuh"

namespace halftone::cuda {
namespace {

constexpr int kWarps = 4, kThreads = 32 * kWarps;

// What a head of kDim is cut into. Rows in shared memory are 16 bytes longer than they need be, so
// that eight of them lie in different banks.
template <int kDim>
struct Tiling {
  static constexpr int kRowTiles = kDim <= 128 ? 2 : 1;  // of 16 queries, a warp: by registers
  static constexpr int kQueries = 16 * kRowTiles * kWarps;
  static constexpr int kKeys = kDim <= 128 ? 64 : 32;
  static constexpr int kStride = kDim + 8;
  static constexpr size_t kSharedBytes = sizeof(__nv_bfloat16) * kStride * (kQueries + 2 * kKeys);
};

// `rows` rows of a head into shared memory, zeros beyond them.
template <int kDim, int kRows>
__device__ void load_tile(const __nv_bfloat16* from, int64_t ld, int rows, __nv_bfloat16* to) {
  constexpr int kChunks = kDim / 8;
  static_assert(kRows * kChunks % kThreads == 0);
#pragma unroll
  for (int i = 0; i < kRows * kChunks / kThreads; ++i) {
    const int at = static_cast<int>(threadIdx.x) + i * kThreads;
    const int row = at / kChunks, chunk = at % kChunks;
    const bool inside = row < rows;
    copy_async(to + row * Tiling<kDim>::kStride + chunk * 8,
               from + (inside ? row : 0) * ld + chunk * 8, inside);
  }
}

// scores (16·kRowTiles, kKeys) := q kᵀ of this warp's queries.
template <int kDim>
__device__ void multiply_keys(
    const __nv_bfloat16* q, const __nv_bfloat16* k,
    float (&scores)[Tiling<kDim>::kRowTiles][Tiling<kDim>::kKeys / 8][4]) {
  using T = Tiling<kDim>;
  const int lane = threadIdx.x % 32;
  const __nv_bfloat16* q_lane = q + (lane % 16) * T::kStride + lane / 16 * 8;
  const __nv_bfloat16* k_lane = k + (lane / 16 * 8 + lane % 8) * T::kStride + lane / 8 % 2 * 8;
#pragma unroll
  for (int m = 0; m < T::kRowTiles; ++m)
#pragma unroll
    for (int n = 0; n < T::kKeys / 8; ++n)
#pragma unroll
      for (int i = 0; i < 4; ++i) scores[m][n][i] = 0;
#pragma unroll
  for (int d = 0; d < kDim; d += 16) {
    uint32_t a[T::kRowTiles][4];
#pragma unroll
    for (int m = 0; m < T::kRowTiles; ++m) load_matrices(a[m], q_lane + m * 16 * T::kStride + d);
#pragma unroll
    for (int n = 0; n < T::kKeys; n += 16) {
      uint32_t b[4];
      load_matrices(b, k_lane + n * T::kStride + d);
#pragma unroll
      for (int m = 0; m < T::kRowTiles; ++m) {
        multiply_accumulate(scores[m][n / 8], a[m], b[0], b[1]);
        multiply_accumulate(scores[m][n / 8 + 1], a[m], b[2], b[3]);
      }
    }
  }
}

// result (16·kRowTiles, kDim) += weights · v, weights rounded to bf16.
template <int kDim>
__device__ void multiply_values(
    const float (&weights)[Tiling<kDim>::kRowTiles][Tiling<kDim>::kKeys / 8][4],
    const __nv_bfloat16* v, float (&result)[Tiling<kDim>::kRowTiles][kDim / 8][4]) {
  using T = Tiling<kDim>;
  const int lane = threadIdx.x % 32;
  const __nv_bfloat16* v_lane = v + (lane / 8 % 2 * 8 + lane % 8) * T::kStride + lane / 16 * 8;
#pragma unroll
  for (int k = 0; k < T::kKeys; k += 16) {
    uint32_t a[T::kRowTiles][4];
#pragma unroll
    for (int m = 0; m < T::kRowTiles; ++m) {
      const float(&left)[4] = weights[m][k / 8];
      const float(&right)[4] = weights[m][k / 8 + 1];
      a[m][0] = pack(left[0], left[1]);
      a[m][1] = pack(left[2], left[3]);
      a[m][2] = pack(right[0], right[1]);
      a[m][3] = pack(right[2], right[3]);
    }
#pragma unroll
    for (int d = 0; d < kDim; d += 16) {
      uint32_t b[4];
      load_matrices_transposed(b, v_lane + k * T::kStride + d);
#pragma unroll
      for (int m = 0; m < T::kRowTiles; ++m) {
        multiply_accumulate(result[m][d / 8], a[m], b[0], b[1]);
        multiply_accumulate(result[m][d / 8 + 1], a[m], b[2], b[3]);
      }
    }
  }
}

template <int kDim, class Out>
__global__ void __launch_bounds__(kThreads)
    attend(const __grid_constant__ TensorCoreArguments<Out> a) {
#if __CUDA_ARCH__ >= 800
  using T = Tiling<kDim>;
  extern __shared__ __align__(16) __nv_bfloat16 shared[];
  __nv_bfloat16* q_tile = shared;
  __nv_bfloat16* k_tile = q_tile + T::kQueries * T::kStride;
  __nv_bfloat16* v_tile = k_tile + T::kKeys * T::kStride;
  const AttentionSpec& spec = a.spec;
  const int head = static_cast<int>(blockIdx.x % spec.heads);
  const QueryTile tile = a.tiles[blockIdx.x / spec.heads];
  const int q_col = head * kDim, kv_col = head / (spec.heads / spec.kv_heads) * kDim;
  const int first_row = static_cast<int>(threadIdx.x / 32) * 16 * T::kRowTiles;  // of the warp
  const int end = tile.last + tile.queries;
  const int first_key = spec.window > 0 ? max(0, tile.last - spec.window + 1) : 0;
  const __nv_bfloat16* keys = a.k.row(tile.kv_row) + kv_col;
  const __nv_bfloat16* values = a.v.row(tile.kv_row) + kv_col;

  float result[T::kRowTiles][kDim / 8][4] = {};
  Running running[T::kRowTiles];
#pragma unroll
  for (int m = 0; m < T::kRowTiles; ++m) running[m] = {{-CUDART_INF_F, -CUDART_INF_F}, {0, 0}};
  load_tile<kDim, T::kQueries>(a.q.row(tile.q_row) + q_col, a.q.ld, tile.queries, q_tile);
  load_tile<kDim, T::kKeys>(keys + first_key * a.k.ld, a.k.ld, end - first_key, k_tile);
  end_async_group();
  for (int key = first_key; key < end; key += T::kKeys) {
    await_async();
    __syncthreads();
    load_tile<kDim, T::kKeys>(values + key * a.v.ld, a.v.ld, end - key, v_tile);
    end_async_group();
    float scores[T::kRowTiles][T::kKeys / 8][4];
    multiply_keys<kDim>(q_tile + first_row * T::kStride, k_tile, scores);
    await_async();
    __syncthreads();
    const int next = key + T::kKeys;
    if (next < end) load_tile<kDim, T::kKeys>(keys + next * a.k.ld, a.k.ld, end - next, k_tile);
    end_async_group();
    const bool all_seen =
        next - 1 <= tile.last && (spec.window == 0 || key > end - 1 - spec.window);
#pragma unroll
    for (int m = 0; m < T::kRowTiles; ++m) {
      if (spec.softcap > 0) cap(scores[m], spec);
      if (!all_seen) mask(scores[m], key, tile.last + first_row + m * 16, spec);
      float factors[2];
      soften(scores[m], running[m], (spec.softcap > 0 ? 1 : spec.scale) * kLog2E, factors);
      rescale(result[m], factors);
    }
    multiply_values<kDim>(scores, v_tile, result);
  }
#pragma unroll
  for (int m = 0; m < T::kRowTiles; ++m) {
    const int row = first_row + m * 16;
    write_result<kDim>(result[m], running[m], a.y.row(tile.q_row + row) + q_col, a.y.ld,
                       tile.queries - row);
  }
#else
  __trap();  // code for an older card than the one that has been found
#endif
}

template <class Body>
void with_dim(int head_dim, Body body) {
  if (head_dim == 64) return body.template operator()<64>();
  if (head_dim == 96) return body.template operator()<96>();
  if (head_dim == 128) return body.template operator()<128>();
  assert(head_dim == 256);
  return body.template operator()<256>();
}

}  // namespace

bool tensor_core_attention_serves(const Context& context, const AttentionCall& call) {
  const int dim = call.spec.head_dim;
  return context.card().bf16 && (dim == 64 || dim == 96 || dim == 128 || dim == 256) &&
         call.spec.scale > 0 && call.q.dtype == DType::bf16 && call.k.dtype == DType::bf16 &&
         call.v.dtype == DType::bf16 && in_eights(call.q) && in_eights(call.k) &&
         in_eights(call.v) && in_eights(call.y);
}

int tensor_core_attention_tile(const AttentionSpec& spec) {
  int queries = 0;
  with_dim(spec.head_dim, [&]<int kDim>() { queries = Tiling<kDim>::kQueries; });
  return queries;
}

void tensor_core_attention(Context& context, const AttentionCall& call) {
  with_activation_type(call.y.dtype, [&](auto out) {
    using Out = typename decltype(out)::Type;
    with_dim(call.spec.head_dim, [&]<int kDim>() {
      launch_attention<__nv_bfloat16, Out>(context, call, {kThreads, Tiling<kDim>::kSharedBytes},
                                           attend<kDim, Out>);
    });
  });
}

}  // namespace halftone::cuda
