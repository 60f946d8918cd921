// What every kernel of attention is given, and how it is launched: a block for each tile of queries
// and head.
#pragma once

#include "backend/cuda/attention_kernels.h"
#include "backend/cuda/elements.cuh"

namespace halftone::cuda {

template <class In, class Out>
struct AttentionArguments {
  Rows<const In> q, k, v;
  Rows<Out> y;
  const QueryTile* tiles;
  AttentionSpec spec;
};

struct BlockShape {
  int threads = 0;
  size_t shared_bytes = 0;
};

template <class In, class Out>
using AttentionKernel = void (*)(AttentionArguments<In, Out>);

template <class In, class Out>
void launch_attention(Context& context, const AttentionCall& call, BlockShape block,
                      AttentionKernel<In, Out> kernel) {
  const Operation operation{"attention", {call.q.rows, call.spec.heads, call.spec.head_dim}};
  check(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                             static_cast<int>(block.shared_bytes)),
        operation);
  const auto blocks = static_cast<unsigned>(call.tile_count * call.spec.heads);
  kernel<<<blocks, block.threads, block.shared_bytes, context.compute()>>>(
      {rows_of<In>(call.q), rows_of<In>(call.k), rows_of<In>(call.v), rows_of<Out>(call.y),
       call.tiles, call.spec});
  check_launch(operation);
}

}  // namespace halftone::cuda
