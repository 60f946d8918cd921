// Attention: sequences of uneven lengths, cached keys, windows, grouped heads, soft cap.
#include "conformance/conformance.h"

namespace halftone::conformance {
namespace {

struct AttentionCase {
  const char* name;
  AttentionSpec spec;
  std::vector<Sequence> sequences;
};

const std::vector<Sequence> kUneven = {
    {.q_begin = 0, .q_count = 1, .kv_begin = 0, .kv_count = 1},
    {.q_begin = 1, .q_count = 7, .kv_begin = 1, .kv_count = 7},
    {.q_begin = 8, .q_count = 5, .kv_begin = 8, .kv_count = 13},    // 8 keys in the cache
    {.q_begin = 13, .q_count = 1, .kv_begin = 21, .kv_count = 40},  // one token of generation
    {.q_begin = 14, .q_count = 35, .kv_begin = 61, .kv_count = 35}};
const std::vector<Sequence> kLong = {
    {.q_begin = 0, .q_count = 150, .kv_begin = 0, .kv_count = 150},
    {.q_begin = 150, .q_count = 67, .kv_begin = 150, .kv_count = 300}};

const AttentionCase kCases[] = {
    {"one head", {.heads = 1, .kv_heads = 1, .head_dim = 16, .scale = 0.25f}, kUneven},
    {"grouped", {.heads = 6, .kv_heads = 2, .head_dim = 8, .scale = 0.3f}, kUneven},
    {"odd head", {.heads = 3, .kv_heads = 3, .head_dim = 13, .scale = 0.3f}, kUneven},
    {"window", {.heads = 2, .kv_heads = 1, .head_dim = 8, .scale = 0.3f, .window = 4}, kUneven},
    {"window 1", {.heads = 2, .kv_heads = 1, .head_dim = 8, .scale = 0.3f, .window = 1}, kUneven},
    {"cap", {.heads = 2, .kv_heads = 2, .head_dim = 16, .scale = 2, .softcap = 5}, kUneven},
    {"long", {.heads = 2, .kv_heads = 1, .head_dim = 64, .scale = 0.125f}, kLong},
    {"long window",
     {.heads = 2, .kv_heads = 1, .head_dim = 64, .scale = 0.125f, .window = 70},
     kLong},
    {"head of 96", {.heads = 2, .kv_heads = 2, .head_dim = 96, .scale = 0.1f}, kLong},
    {"head of 128", {.heads = 3, .kv_heads = 1, .head_dim = 128, .scale = 0.09f}, kLong},
    {"head of 128, window",
     {.heads = 2, .kv_heads = 2, .head_dim = 128, .scale = 0.09f, .window = 33},
     kLong},
    {"head of 128, cap",
     {.heads = 1, .kv_heads = 1, .head_dim = 128, .scale = 0.5f, .softcap = 5},
     kUneven},
    {"head of 256", {.heads = 2, .kv_heads = 1, .head_dim = 256, .scale = 0.06f}, kLong},
    {"sharp", {.heads = 1, .kv_heads = 1, .head_dim = 64, .scale = 4}, kLong}};

class Attention : public Conformance {};

void count_rows(const std::vector<Sequence>& sequences, int64_t& queries, int64_t& keys) {
  queries = sequences.back().q_begin + sequences.back().q_count;
  keys = sequences.back().kv_begin + sequences.back().kv_count;
}

TEST_P(Attention, EqualsTheReference) {
  for (const AttentionCase& test : kCases) {
    int64_t queries = 0, keys = 0;
    count_rows(test.sequences, queries, keys);
    const int64_t width = test.spec.heads * test.spec.head_dim;
    const int64_t kv_width = test.spec.kv_heads * test.spec.head_dim;
    for (DType in : {DType::f32, DType::bf16}) {
      for (DType out : {DType::f32, DType::bf16}) {
        for (Layout layout : {Layout::dense, Layout::strided}) {
          SCOPED_TRACE(testing::Message()
                       << test.name << ", " << name_of(in) << " to " << name_of(out));
          // Probabilities may be rounded to bf16 before they multiply bf16 values. In f32 the
          // error of an exponent grows with the scores: here up to 30 · 40 (sharp).
          const double absolute = test.spec.scale > 1 ? 1e-4 : 2e-5;
          const Tolerance tolerance =
              in == DType::bf16
                  ? Tolerance{.relative = 0x1p-7, .absolute = 4e-3}
                  : Tolerance{.relative = tolerance_of(out).relative, .absolute = absolute};
          compare(
              [&](Backend& backend) {
                const Operand q(backend, random_matrix(queries, width, 1), in, layout);
                const Operand k(backend, random_matrix(keys, kv_width, 2), in, layout);
                const Operand v(backend, random_matrix(keys, kv_width, 3), in, layout);
                const Operand y(backend, queries, width, out, layout);
                backend.attention(q, k, v, test.sequences, test.spec, y);
                return y.fetch();
              },
              tolerance);
        }
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Backends, Attention, testing::ValuesIn(tested_backends()),
                         [](const auto& test) { return test.param; });

}  // namespace
}  // namespace halftone::conformance
