// CUDA: attention on Hopper's tensor cores, after FlashAttention-3 (arXiv 2407.08608): two
// warpgroups serve 64 queries each; while the products with one tile's values are under way, the
// scores of the next are softened. Tiles come by cp.async, two of keys and two of values in turns.
#include "backend/cuda/attention_kernels.h"
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

// `rows` rows of a head into the tiles at `to`, zeros beyond them; kRows rows a tile.
template <int kDim, int kRows>
__device__ void load_tile(const __nv_bfloat16* from, int64_t ld, int rows, uint32_t to) {
  constexpr int kPieces = kDim / 8;
#pragma unroll
  for (int i = threadIdx.x; i < kRows * kPieces; i += kThreads) {
    const int row = i / kPieces, piece = i % kPieces;
    const bool inside = row < rows;
    copy_async(to + piece / 8 * (kRows * 128) + swizzled(row, piece % 8),
               from + (inside ? row : 0) * ld + piece * 8, inside);
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
    const uint32_t (&weights)[Tiling<kDim>::kKeys / 16][4], uint32_t v,
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
  uint32_t weights[T::kKeys / 16][4];
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
  pack_weights(scores, weights);
  for (int i = 0; i + 1 < tiles; ++i) {
    meet();
    load_keys(i + 2);
    load_values(i + 1);
    begin_products();
    multiply_keys<kDim>(q_group, k_tiles + (i + 1) % 2 * T::kTileBytes, scores);
    multiply_values<kDim>(weights, v_tiles + i % 2 * T::kTileBytes, result);
    await_products<1>();
    soften_tile(i + 1);
    await_products<0>();
    pack_weights(scores, weights);
#pragma unroll
    for (int part = 0; part < kDim / T::kColumns; ++part) rescale(result[part], factors);
  }
  meet();
  begin_products();
  multiply_values<kDim>(weights, v_tiles + (tiles - 1) % 2 * T::kTileBytes, result);
  await_products<0>();
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
  const Operation operation{"attention", {call.q.rows, call.spec.heads, call.spec.head_dim}};
  using In = __nv_bfloat16;
  with_activation_type(call.y.dtype, [&](auto out) {
    using Out = typename decltype(out)::Type;
    const TensorCoreArguments<Out> arguments = {rows_of<In>(call.q), rows_of<In>(call.k),
                                                rows_of<In>(call.v), rows_of<Out>(call.y),
                                                call.tiles,          call.spec};
    with_dim(call.spec.head_dim, [&]<int kDim>() {
      constexpr size_t bytes = Tiling<kDim>::kSharedBytes;
      const auto kernel = attend<kDim, Out>;
      check(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                 static_cast<int>(bytes)),
            operation);
      kernel<<<static_cast<unsigned>(call.tile_count * call.spec.heads), kThreads, bytes,
               context.compute()>>>(arguments);
    });
  });
  check_launch(operation);
}

}  // namespace halftone::cuda
