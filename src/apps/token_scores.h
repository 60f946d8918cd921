// Scores of single predictions, and what they sum up to.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "model/forward.h"

namespace halftone {

constexpr int64_t kTileElements = 16 << 20;  // of logits: 64 MB, so that memory stays flat

// One entry a scored position; the base's and the comparison's are empty without a base.
struct TokenScores {
  std::vector<float> nll, base_nll, kl;  // nats
  std::vector<uint8_t> same_top;
  int64_t count() const { return static_cast<int64_t>(nll.size()); }
};

// Means with standard errors over tokens (as llama.cpp gives them).
struct ScoreSummary {
  double perplexity = 0, perplexity_stderr = 0;
  double base_perplexity = 0, base_perplexity_stderr = 0;
  double log_ratio_stderr = 0;  // of ln(perplexity / base_perplexity), paired
  double kl_mean = 0, kl_stderr = 0, kl_p50 = 0, kl_p99 = 0, kl_max = 0;
  double top1_agreement = 0;                    // fraction
  int64_t not_finite = 0, base_not_finite = 0;  // predictions; when any, the rest means nothing
};
ScoreSummary summarize(const TokenScores& scores);
double perplexity_of(const TokenScores& scores);  // alone: cheap enough for a progress line

// A model's last residual (tokens, hidden) f32, and where to add the seconds that its logits take.
struct ScoredModel {
  Forward* forward = nullptr;
  ConstView residual;
  double* seconds = nullptr;
};

// Appends the scores of `rows` of the residuals, row i predicting targets[i]; a tile of logits at a
// time. `base.forward` may be null. Vocabularies that are padded differently are compared over the
// shorter.
void score_rows(const ScoredModel& model, const ScoredModel& base, std::span<const int64_t> rows,
                std::span<const int32_t> targets, TokenScores& scores);

}  // namespace halftone
