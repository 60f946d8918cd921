// CUDA: causal attention of uneven sequences, cut into tiles of queries; which kernel serves them.
#include <algorithm>
#include <cassert>
#include <vector>

#include "backend/cuda/attention_kernels.h"
#include "base/error.h"

namespace halftone::cuda {
namespace {

// The tiles that see the most keys come first, so that none of them is begun last.
std::vector<QueryTile> tiles_of(std::span<const Sequence> sequences, int queries_per_tile) {
  std::vector<QueryTile> tiles;
  for (const Sequence& sequence : sequences) {
    assert(sequence.q_count <= sequence.kv_count);
    const int64_t before = sequence.kv_count - sequence.q_count;
    for (int64_t i = 0; i < sequence.q_count; i += queries_per_tile)
      tiles.push_back({.q_row = sequence.q_begin + i,
                       .kv_row = sequence.kv_begin,
                       .queries = static_cast<int32_t>(
                           std::min<int64_t>(queries_per_tile, sequence.q_count - i)),
                       .last = static_cast<int32_t>(before + i)});
  }
  std::stable_sort(tiles.begin(), tiles.end(),
                   [](const QueryTile& a, const QueryTile& b) { return a.last > b.last; });
  return tiles;
}

constexpr int kLargestHead = 256;

}  // namespace

void attention(Context& context, const AttentionInputs& inputs, std::span<const Sequence> sequences,
               const AttentionSpec& spec, View y) {
  assert(spec.heads % spec.kv_heads == 0);
  assert(inputs.q.cols == int64_t{spec.heads} * spec.head_dim && y.cols == inputs.q.cols);
  assert(inputs.k.cols == int64_t{spec.kv_heads} * spec.head_dim && inputs.v.cols == inputs.k.cols);
  if (spec.head_dim > kLargestHead)
    throw bad_input("--device cuda: head_dim {}, expected at most {}", spec.head_dim, kLargestHead)
        .hint("--device cpu has no such limit.");
  AttentionCall call{.q = inputs.q, .k = inputs.k, .v = inputs.v, .y = y, .spec = spec};
  const bool hopper = hopper_attention_serves(context, call);
  const bool tensor_cores = !hopper && tensor_core_attention_serves(context, call);
  const int per_tile = hopper         ? hopper_attention_tile()
                       : tensor_cores ? tensor_core_attention_tile(spec)
                                      : exact_attention_tile(context, spec);
  const std::vector<QueryTile> tiles = tiles_of(sequences, per_tile);
  if (tiles.empty()) return;
  const Tensor on_device = context.to_device(std::span(tiles));
  call.tiles = data_of<QueryTile>(on_device);
  call.tile_count = static_cast<int64_t>(tiles.size());
  if (hopper)
    hopper_attention(context, call);
  else if (tensor_cores)
    tensor_core_attention(context, call);
  else
    exact_attention(context, call);
}

}  // namespace halftone::cuda
