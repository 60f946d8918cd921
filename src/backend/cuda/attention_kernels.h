// The kernels of attention, and what they share: how queries are cut into tiles.
#pragma once

#include <cstdint>

#include "backend/cuda/cuda_operations.h"

namespace halftone::cuda {

// Neighbouring queries of one sequence, which a block serves for one head.
struct QueryTile {
  int64_t q_row;    // of the first query, in q and y
  int64_t kv_row;   // of the sequence's first key, in k and v
  int32_t queries;  // at most the kernel's tile
  int32_t last;     // the key, counted within the sequence, that the first query sees last
};

// A tile's keys are [first_key, end_key), counted within the sequence.
struct AttentionCall {
  ConstView q, k, v;
  View y;
  AttentionSpec spec;
  const QueryTile* tiles = nullptr;  // on the device
  int64_t tile_count = 0;
};

// bf16 on tensor cores (mma.sync), for head_dim 64, 96, 128 and 256 and rows at 16-byte boundaries.
bool tensor_core_attention_serves(const Context& context, const AttentionCall& call);
int tensor_core_attention_tile(const AttentionSpec& spec);  // queries
void tensor_core_attention(Context& context, const AttentionCall& call);

// The same on Hopper (wgmma), for head_dim 64, 128 and 256.
bool hopper_attention_serves(const Context& context, const AttentionCall& call);
int hopper_attention_tile();
void hopper_attention(Context& context, const AttentionCall& call);

// f32 products and sums, every type and head_dim up to 256.
int exact_attention_tile(const Context& context, const AttentionSpec& spec);
void exact_attention(Context& context, const AttentionCall& call);

}  // namespace halftone::cuda
