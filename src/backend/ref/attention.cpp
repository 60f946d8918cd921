// Reference backend: causal attention with grouped key-value heads (arXiv 2305.13245), sliding
// windows and Gemma 2's soft cap, one query and head at a time.
#include <algorithm>
#include <cassert>
#include <cmath>

#include "backend/ref/element.h"
#include "backend/ref/ref_operations.h"

namespace halftone::ref {
namespace {

// One query of one head against keys [first, last] (rows of k and v).
struct Query {
  int64_t row = 0;              // of q and y
  int64_t first = 0, last = 0;  // of k and v
  int64_t col = 0, kv_col = 0;  // where the head begins in q and y, in k and v
};

std::vector<double> softmax_of_scores(ConstView q, ConstView k, const Query& query,
                                      const AttentionSpec& spec) {
  std::vector<double> scores;
  for (int64_t key = query.first; key <= query.last; ++key) {
    double score = 0;
    for (int64_t i = 0; i < spec.head_dim; ++i)
      score +=
          static_cast<double>(load(q, query.row, query.col + i)) * load(k, key, query.kv_col + i);
    score *= spec.scale;
    if (spec.softcap > 0) score = spec.softcap * std::tanh(score / spec.softcap);
    scores.push_back(score);
  }
  const double largest = *std::max_element(scores.begin(), scores.end());
  double sum = 0;
  for (double& score : scores) sum += score = std::exp(score - largest);
  for (double& score : scores) score /= sum;
  return scores;
}

}  // namespace

void RefBackend::attention(ConstView q, ConstView k, ConstView v,
                           std::span<const Sequence> sequences, const AttentionSpec& spec, View y) {
  const int64_t head_dim = spec.head_dim;
  assert(spec.heads % spec.kv_heads == 0);
  assert(q.cols == spec.heads * head_dim && y.cols == q.cols && y.rows == q.rows);
  assert(k.cols == spec.kv_heads * head_dim && v.cols == k.cols);
  for (const Sequence& sequence : sequences) {
    assert(sequence.q_count <= sequence.kv_count);
    for (int64_t i = 0; i < sequence.q_count; ++i) {
      const int64_t position = sequence.kv_count - sequence.q_count + i;
      const int64_t seen =
          spec.window > 0 ? std::min<int64_t>(spec.window, position + 1) : position + 1;
      for (int64_t head = 0; head < spec.heads; ++head) {
        const Query query{.row = sequence.q_begin + i,
                          .first = sequence.kv_begin + position + 1 - seen,
                          .last = sequence.kv_begin + position,
                          .col = head * head_dim,
                          .kv_col = head / (spec.heads / spec.kv_heads) * head_dim};
        const std::vector<double> weights = softmax_of_scores(q, k, query, spec);
        for (int64_t d = 0; d < head_dim; ++d) {
          double sum = 0;
          for (int64_t key = query.first; key <= query.last; ++key)
            sum += weights[static_cast<size_t>(key - query.first)] * load(v, key, query.kv_col + d);
          store(y, query.row, query.col + d, static_cast<float>(sum));
        }
      }
    }
  }
}

}  // namespace halftone::ref
