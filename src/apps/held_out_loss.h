// What quantizing cost, on calibration windows that nothing was fitted to.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "apps/token_scores.h"
#include "text/dataset.h"

namespace halftone {

// KL to the original on calibration windows that no Hessian has seen. Where a method scales
// channels, the original is run with its channels scaled, which computes the same: perplexities of
// SmolLM2 agree to 5e-7 of themselves in f32, to 5e-5 in bf16.
struct HeldOutLoss {
  int64_t windows = 0, tokens = 0;
  std::string windows_text;  // "8 windows of 2,048 tokens"
  double kl_mean = 0, kl_stderr = 0, top1_agreement = 0;
  double perplexity = 0, base_perplexity = 0;
};

// Of the scores of all `windows`, base and all. Throws Error(bad_input) where predictions of the
// original or of the `made` ("quantized") model are not finite.
HeldOutLoss held_out_loss(const TokenScores& scores, const Windows& windows, std::string_view made);

}  // namespace halftone
