// Scores position by position: logits of a tile, log-softmax, KL; and their summary.
#include "apps/token_scores.h"

#include <algorithm>
#include <cmath>

#include "base/clock.h"
#include "base/interrupt.h"

namespace halftone {
namespace {

struct Moments {
  double mean = 0, stderr_ = 0;
};

// Two passes: the variance of losses is small beside their mean.
template <class Value>
Moments moments(size_t count, Value value) {
  Moments result;
  if (count == 0) return result;
  double sum = 0;
  for (size_t i = 0; i < count; ++i) sum += value(i);
  result.mean = sum / static_cast<double>(count);
  double squares = 0;
  for (size_t i = 0; i < count; ++i) squares += (value(i) - result.mean) * (value(i) - result.mean);
  if (count > 1)
    result.stderr_ =
        std::sqrt(squares / static_cast<double>(count) / static_cast<double>(count - 1));
  return result;
}

double quantile(const std::vector<float>& sorted, double q) {
  const double at = q * static_cast<double>(sorted.size() - 1);
  const size_t low = static_cast<size_t>(at);
  const size_t high = std::min(low + 1, sorted.size() - 1);
  return sorted[low] + (at - static_cast<double>(low)) * (sorted[high] - sorted[low]);
}

void add_seconds(const ScoredModel& model, Clock::time_point start) {
  const double seconds = seconds_since(start);
  if (model.seconds) *model.seconds += seconds;
}

}  // namespace

double perplexity_of(const TokenScores& scores) {
  return std::exp(moments(scores.nll.size(), [&](size_t i) { return double{scores.nll[i]}; }).mean);
}

ScoreSummary summarize(const TokenScores& scores) {
  ScoreSummary summary;
  for (const float nll : scores.nll) summary.not_finite += !std::isfinite(nll);
  for (const float nll : scores.base_nll) summary.base_not_finite += !std::isfinite(nll);
  for (const float kl : scores.kl) summary.not_finite += !std::isfinite(kl);
  if (summary.not_finite + summary.base_not_finite > 0) {
    summary.perplexity = summary.base_perplexity = summary.kl_mean = std::nan("");
    return summary;
  }
  const Moments nll = moments(scores.nll.size(), [&](size_t i) { return double{scores.nll[i]}; });
  summary.perplexity = std::exp(nll.mean);
  summary.perplexity_stderr = summary.perplexity * nll.stderr_;
  if (scores.kl.empty()) return summary;

  const size_t count = scores.kl.size();
  const Moments base = moments(count, [&](size_t i) { return double{scores.base_nll[i]}; });
  summary.base_perplexity = std::exp(base.mean);
  summary.base_perplexity_stderr = summary.base_perplexity * base.stderr_;
  summary.log_ratio_stderr =
      moments(count, [&](size_t i) { return double{scores.nll[i]} - scores.base_nll[i]; }).stderr_;
  const Moments kl = moments(count, [&](size_t i) { return double{scores.kl[i]}; });
  summary.kl_mean = kl.mean;
  summary.kl_stderr = kl.stderr_;
  std::vector<float> sorted = scores.kl;
  std::sort(sorted.begin(), sorted.end());
  summary.kl_p50 = quantile(sorted, 0.5);
  summary.kl_p99 = quantile(sorted, 0.99);
  summary.kl_max = sorted.back();
  summary.top1_agreement =
      moments(count, [&](size_t i) { return double{1} * scores.same_top[i]; }).mean;
  return summary;
}

void score_rows(const ScoredModel& model, const ScoredModel& base, std::span<const int64_t> rows,
                std::span<const int32_t> targets, TokenScores& scores) {
  Backend& backend = model.forward->backend();
  const int64_t vocab = model.forward->config().vocab;
  const int64_t base_vocab = base.forward ? base.forward->config().vocab : vocab;
  const int64_t common = std::min(vocab, base_vocab);
  const int64_t count = static_cast<int64_t>(rows.size());
  const int64_t tile = std::min(count, std::max<int64_t>(16, kTileElements / vocab));
  const Tensor logits = backend.allocate(tile, vocab, DType::f32);
  const Tensor base_logits =
      base.forward ? backend.allocate(tile, base_vocab, DType::f32) : Tensor();
  const Tensor on_device = backend.allocate(tile, kScoreColumns, DType::f32);
  const Tensor on_host(backend.host_allocator(), tile, kScoreColumns, DType::f32);

  for (int64_t begin = 0; begin < count; begin += tile) {
    throw_if_interrupted();
    const int64_t n = std::min(tile, count - begin);
    const auto part = rows.subspan(static_cast<size_t>(begin), static_cast<size_t>(n));
    auto start = Clock::now();
    const View tile_logits = logits.view().rows_of(0, n);
    model.forward->logits_of(part, model.residual, tile_logits);
    add_seconds(model, start);
    ConstView base_tile;
    if (base.forward) {
      start = Clock::now();
      base.forward->logits_of(part, base.residual, base_logits.view().rows_of(0, n));
      add_seconds(base, start);
      base_tile = ConstView(base_logits).rows_of(0, n).cols_of(0, common);
    }
    start = Clock::now();
    const View tile_scores = on_device.view().rows_of(0, n);
    {
      const ConstView read = tile_logits.cols_of(0, common);
      const ProfileScope scope(model.forward->profile(), "score", 0,
                               static_cast<double>(read.bytes() + base_tile.bytes()));
      backend.score(read, base_tile,
                    targets.subspan(static_cast<size_t>(begin), static_cast<size_t>(n)),
                    tile_scores);
    }
    backend.download(tile_scores, on_host.view().rows_of(0, n));
    add_seconds(model, start);
    for (int64_t i = 0; i < n; ++i) {
      const float* row = on_host.row<float>(i);
      scores.nll.push_back(row[kNll]);
      if (!base.forward) continue;
      scores.base_nll.push_back(row[kBaseNll]);
      scores.kl.push_back(row[kKl]);
      scores.same_top.push_back(row[kSameTop] != 0);
    }
  }
}

}  // namespace halftone
