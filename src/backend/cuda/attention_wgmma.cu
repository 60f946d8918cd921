// CUDA: attention on Hopper's tensor cores, after FlashAttention-3 (arXiv 2407.08608): two
// warpgroups serve 64 queries each; while the products with one tile's values are under way, the
// scores of the next are softened. Tiles come by cp.async, two of keys and two of values in turns.
#include "backend/cuda/attention_softmax.cuh"
#include "backend/cuda/wgmma.cuh"

namespace halftone::cuda {
namespace {

constexpr int kGroups = 2, kThreads = 128 * kGroups;

template <int kDim>
struct Tiling {
  static constexpr int kQueries = 64 * kGroups;
  static constexpr int kKeys = kDim <= 128 ? 128 : 64;
  // Of results that one instruction makes.
  static constexpr int kColumns = kDim < 128 ? kDim : 128;
  static constexpr uint32_t kQueryBytes = kQueries * kDim * 2, kTileBytes = kKeys * kDim * 2;
  static constexpr size_t kSharedBytes = kQueryBytes + 4 * kTileBytes + 1024;  // to align it
};

// Of one tile's keys, for 64 queries, as operands of the products with its values.
template <int kDim>
using Weights = uint32_t[Tiling<kDim>::kKeys / 16][4];

// `rows` rows of a head into the tiles at `to`, zeros beyond them; kRows rows a tile. A thread has
// the same piece of rows that are a multiple of eight apart: the same place in each.
template <int kDim, int kRows>
__device__ void load_tile(const __nv_bfloat16* from, int64_t ld, int rows, uint32_t to) {
  constexpr int kPieces = kDim / 8, kStep = kThreads / kPieces;
  static_assert(kStep % 8 == 0 && kRows % kStep == 0);
  const int first = threadIdx.x / kPieces, piece = threadIdx.x % kPieces;
  const __nv_bfloat16* source = from + first * ld + piece * 8;
  const uint32_t target = to + piece / 8 * (kRows * 128) + swizzled(first, piece % 8);
  const int64_t step = kStep * ld;
  if (rows >= kRows) {
#pragma unroll
    for (int i = 0; i < kRows / kStep; ++i, source += step)
      copy_async(target + i * kStep * 128, source, true);
  } else {
#pragma unroll
    for (int i = 0; i < kRows / kStep; ++i, source += step) {
      const bool inside = first + i * kStep < rows;
      copy_async(target + i * kStep * 128, inside ? source : from, inside);
    }
  }
}

// scores := q kᵀ for the 64 queries whose tiles begin at q.
template <int kDim>
__device__ void multiply_keys(uint32_t q, uint32_t k, float (&scores)[Tiling<kDim>::kKeys / 8][4]) {
  using T = Tiling<kDim>;
#pragma unroll
  for (int d = 0; d < kDim; d += 16) {
    const uint32_t within = d % 64 * 2;
    multiply_shared(scores, describe(q + d / 64 * (T::kQueries * 128) + within, 16),
                    describe(k + d / 64 * (T::kKeys * 128) + within, 16), d > 0);
  }
  end_product_group();
}

template <int kDim>
__device__ void multiply_values(
    const Weights<kDim>& weights, uint32_t v,
    float (&result)[kDim / Tiling<kDim>::kColumns][Tiling<kDim>::kColumns / 8][4]) {
  using T = Tiling<kDim>;
#pragma unroll
  for (int k = 0; k < T::kKeys; k += 16)
#pragma unroll
    for (int part = 0; part < kDim / T::kColumns; ++part)
      multiply_registers(
          result[part], weights[k / 16],
          describe(v + part * (T::kColumns / 64) * (T::kKeys * 128) + k * 128, T::kKeys * 128),
          true);
  end_product_group();
}

template <int kKeyTiles>
__device__ void pack_weights(const float (&scores)[kKeyTiles][4],
                             uint32_t (&weights)[kKeyTiles / 2][4]) {
#pragma unroll
  for (int k = 0; k < kKeyTiles / 2; ++k) {
    const float(&left)[4] = scores[2 * k];
    const float(&right)[4] = scores[2 * k + 1];
    weights[k][0] = pack(left[0], left[1]);
    weights[k][1] = pack(left[2], left[3]);
    weights[k][2] = pack(right[0], right[1]);
    weights[k][3] = pack(right[2], right[3]);
  }
}

template <int kDim, class Out>
__global__ void __launch_bounds__(kThreads, 1)
    attend(const __grid_constant__ TensorCoreArguments<Out> a) {
#ifdef __CUDA_ARCH_FEAT_SM90_ALL
  using T = Tiling<kDim>;
  extern __shared__ __align__(1024) unsigned char shared[];
  const uint32_t q_tile = (shared_address(shared) + 1023) / 1024 * 1024;
  const uint32_t k_tiles = q_tile + T::kQueryBytes, v_tiles = k_tiles + 2 * T::kTileBytes;
  const AttentionSpec& spec = a.spec;
  const int head = static_cast<int>(blockIdx.x % spec.heads);
  const QueryTile tile = a.tiles[blockIdx.x / spec.heads];
  const int q_col = head * kDim, kv_col = head / (spec.heads / spec.kv_heads) * kDim;
  const int group = static_cast<int>(threadIdx.x / 128);
  const int warp_row = static_cast<int>(threadIdx.x / 32) * 16;
  const int end = tile.last + tile.queries;
  const int first_key = spec.window > 0 ? max(0, tile.last - spec.window + 1) : 0;
  const int tiles = (end - first_key + T::kKeys - 1) / T::kKeys;
  const __nv_bfloat16* keys = a.k.row(tile.kv_row + first_key) + kv_col;
  const __nv_bfloat16* values = a.v.row(tile.kv_row + first_key) + kv_col;
  const auto load_keys = [&](int index) {
    if (index < tiles)
      load_tile<kDim, T::kKeys>(keys + int64_t{index} * T::kKeys * a.k.ld, a.k.ld,
                                end - first_key - index * T::kKeys,
                                k_tiles + index % 2 * T::kTileBytes);
  };
  const auto load_values = [&](int index) {
    if (index < tiles)
      load_tile<kDim, T::kKeys>(values + int64_t{index} * T::kKeys * a.v.ld, a.v.ld,
                                end - first_key - index * T::kKeys,
                                v_tiles + index % 2 * T::kTileBytes);
  };
  // All threads' tiles have come, and nobody reads those before any more.
  const auto meet = [] {
    await_async();
    publish_to_products();
    __syncthreads();
  };

  float scores[T::kKeys / 8][4];
  Weights<kDim> even, odd;  // of tiles with these numbers
  float result[kDim / T::kColumns][T::kColumns / 8][4] = {};
  float factors[2];
  Running running = {{-CUDART_INF_F, -CUDART_INF_F}, {0, 0}};
  const float scale = (spec.softcap > 0 ? 1 : spec.scale) * kLog2E;
  const auto soften_tile = [&](int index) {
    const int key = first_key + index * T::kKeys;
    if (spec.softcap > 0) cap(scores, spec);
    const bool all_seen =
        key + T::kKeys - 1 <= tile.last && (spec.window == 0 || key > end - 1 - spec.window);
    if (!all_seen) mask(scores, key, tile.last + warp_row, spec);
    soften(scores, running, scale, factors);
  };

  load_tile<kDim, T::kQueries>(a.q.row(tile.q_row) + q_col, a.q.ld, tile.queries, q_tile);
  load_keys(0);
  meet();
  load_values(0);
  load_keys(1);
  const uint32_t q_group = q_tile + group * (64 * 128);
  begin_products();
  multiply_keys<kDim>(q_group, k_tiles, scores);
  await_products<0>();
  soften_tile(0);
  pack_weights(scores, even);
  // The products with `now` are under way while `next` is made: they must be different registers.
  const auto advance = [&](int i, const Weights<kDim>& now, Weights<kDim>& next) {
    meet();
    begin_products();
    multiply_keys<kDim>(q_group, k_tiles + (i + 1) % 2 * T::kTileBytes, scores);
    multiply_values<kDim>(now, v_tiles + i % 2 * T::kTileBytes, result);
    load_keys(i + 2);
    load_values(i + 1);
    await_products<1>();
    soften_tile(i + 1);
    pack_weights(scores, next);
    await_products<0>();
#pragma unroll
    for (int part = 0; part < kDim / T::kColumns; ++part) rescale(result[part], factors);
  };
  const auto finish = [&](const Weights<kDim>& last) {
    meet();
    begin_products();
    multiply_values<kDim>(last, v_tiles + (tiles - 1) % 2 * T::kTileBytes, result);
    await_products<0>();
  };
  int i = 0;
  for (; i + 2 < tiles; i += 2) {
    advance(i, even, odd);
    advance(i + 1, odd, even);
  }
  if (i + 1 < tiles) {
    advance(i, even, odd);
    finish(odd);
  } else {
    finish(even);
  }
#pragma unroll
  for (int part = 0; part < kDim / T::kColumns; ++part)
    write_result<T::kColumns>(result[part], running,
                              a.y.row(tile.q_row + warp_row) + q_col + part * T::kColumns, a.y.ld,
                              tile.queries - warp_row);
#else
  __trap();  // code for another card than the one that has been found
#endif
}

template <class Body>
void with_dim(int head_dim, Body body) {
  if (head_dim == 64) return body.template operator()<64>();
  if (head_dim == 128) return body.template operator()<128>();
  assert(head_dim == 256);
  return body.template operator()<256>();
}

}  // namespace

bool hopper_attention_serves(const Context& context, const AttentionCall& call) {
  const int dim = call.spec.head_dim;
  return context.card().wgmma && (dim == 64 || dim == 128 || dim == 256) &&
         tensor_core_attention_serves(context, call);
}

int hopper_attention_tile() { return 64 * kGroups; }

void hopper_attention(Context& context, const AttentionCall& call) {
  with_activation_type(call.y.dtype, [&](auto out) {
    using Out = typename decltype(out)::Type;
    with_dim(call.spec.head_dim, [&]<int kDim>() {
      launch_attention<__nv_bfloat16, Out>(context, call, {kThreads, Tiling<kDim>::kSharedBytes},
                                           attend<kDim, Out>);
    });
  });
}

}  // namespace halftone::cuda
