// CPU backend: causal attention, one task for each key-value head and block of queries.
#include <algorithm>
#include <cassert>
#include <vector>

#include "backend/cpu/cpu_operations.h"

namespace halftone::cpu {
namespace {

// Rows (queries times the heads that share a key-value head) of a task: enough to pay for packing
// its keys and values, few enough that queries and output stay in the second-level cache.
constexpr int64_t kTaskRows = 384;

struct Block {
  const Sequence* sequence;
  int64_t kv_head, begin, end;  // queries of the sequence
};

// Long blocks first: the last ones then even out the threads.
std::vector<Block> cut(std::span<const Sequence> sequences, const AttentionSpec& spec) {
  const int64_t group = spec.heads / spec.kv_heads;
  const int64_t queries = std::max<int64_t>(1, kTaskRows / group);
  std::vector<Block> blocks;
  for (const Sequence& sequence : sequences)
    for (int64_t begin = 0; begin < sequence.q_count; begin += queries)
      for (int64_t head = 0; head < spec.kv_heads; ++head)
        blocks.push_back({&sequence, head, begin, std::min(begin + queries, sequence.q_count)});
  const auto keys = [](const Block& block) {
    return block.sequence->kv_count - block.sequence->q_count + block.end;
  };
  std::stable_sort(blocks.begin(), blocks.end(),
                   [&](const Block& a, const Block& b) { return keys(a) > keys(b); });
  return blocks;
}

}  // namespace

void CpuBackend::attention(ConstView q, ConstView k, ConstView v,
                           std::span<const Sequence> sequences, const AttentionSpec& spec, View y) {
  assert(spec.heads % spec.kv_heads == 0 && spec.scale > 0);
  assert(q.cols == int64_t{spec.heads} * spec.head_dim && y.cols == q.cols);
  assert(k.cols == int64_t{spec.kv_heads} * spec.head_dim && v.cols == k.cols);
  const int64_t group = spec.heads / spec.kv_heads, dim = spec.head_dim;
  const bool bf16_products = kernels_.attend_bf16 && simd::has_fast_bf16_products(kernels_.isa) &&
                             q.dtype == DType::bf16 && k.dtype == DType::bf16 &&
                             v.dtype == DType::bf16;
  const auto attend = bf16_products ? kernels_.attend_bf16 : kernels_.attend;

  const std::vector<Block> blocks = cut(sequences, spec);
  const auto run = [&](const Block& block) {
    const Sequence& sequence = *block.sequence;
    assert(sequence.q_count <= sequence.kv_count);
    const int64_t query = sequence.q_begin + block.begin, last = sequence.q_begin + block.end;
    const int64_t q_col = block.kv_head * group * dim, kv_col = block.kv_head * dim;
    const int64_t kv_end = sequence.kv_begin + sequence.kv_count;
    Scratch::Lease scratch =
        scratch_.lease(simd::attention_scratch_bytes((block.end - block.begin) * group, dim));
    const simd::AttentionTask task{
        .q = q.rows_of(query, last).cols_of(q_col, q_col + group * dim),
        .k = k.rows_of(sequence.kv_begin, kv_end).cols_of(kv_col, kv_col + dim),
        .v = v.rows_of(sequence.kv_begin, kv_end).cols_of(kv_col, kv_col + dim),
        .y = y.rows_of(query, last).cols_of(q_col, q_col + group * dim),
        .group = group,
        .first_position = sequence.kv_count - sequence.q_count + block.begin,
        .spec = &spec,
        .scratch =
            scratch.take(simd::attention_scratch_bytes((block.end - block.begin) * group, dim))};
    attend(task);
  };
  pool_.parallel_for(static_cast<int64_t>(blocks.size()), 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) run(blocks[static_cast<size_t>(i)]);
  });
}

}  // namespace halftone::cpu
