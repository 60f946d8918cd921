#include "apps/held_out_loss.h"

#include "apps/calibration.h"
#include "base/error.h"

namespace halftone {

HeldOutLoss held_out_loss(const TokenScores& scores, const Windows& windows,
                          std::string_view made) {
  const ScoreSummary summary = summarize(scores);
  if (summary.not_finite + summary.base_not_finite > 0)
    throw bad_input("the {} model's predictions on the held-out windows are not finite",
                    summary.base_not_finite > 0 ? "original" : made)
        .hint("it overflows in this type: try --dtype f32.");
  return {.windows = windows.count(),
          .tokens = scores.count(),
          .windows_text = windows_text(windows),
          .kl_mean = summary.kl_mean,
          .kl_stderr = summary.kl_stderr,
          .top1_agreement = summary.top1_agreement,
          .perplexity = summary.perplexity,
          .base_perplexity = summary.base_perplexity};
}

}  // namespace halftone
