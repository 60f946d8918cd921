#include "apps/random_calibration.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "base/rng.h"

namespace halftone {
namespace {

// As long as conversations are: log-normal, the mean a quarter of the longest, which a few reach.
int64_t chat_length(int64_t longest, Rng& rng) {
  const double radius = std::sqrt(-2 * std::log(1 - rng.uniform()));
  const double normal = radius * std::cos(2 * std::numbers::pi * rng.uniform());
  const double length = static_cast<double>(longest) / 4 * std::exp(normal - .5);
  return std::clamp(static_cast<int64_t>(std::min(length, static_cast<double>(longest))),
                    kShortestSequence, longest);
}

Windows random_windows(const QuantizeOptions& options, int64_t count, int64_t vocab,
                       uint64_t seed) {
  Windows windows{.length = options.seq_len};
  Rng rng(seed);
  const bool uneven = options.sequences == "whole";
  for (int64_t i = 0; i < count; ++i) {
    const int64_t length = uneven ? chat_length(options.seq_len, rng) : options.seq_len;
    for (int64_t k = 0; k < length; ++k)
      windows.ids.push_back(static_cast<int32_t>(rng.below(static_cast<uint64_t>(vocab))));
    if (uneven && i == 0) windows.starts.push_back(0);
    if (uneven) windows.starts.push_back(windows.tokens());
  }
  windows.tokens_in_text = windows.tokens();
  return windows;
}

}  // namespace

Calibration random_calibration(const QuantizeOptions& options, int64_t vocab) {
  Calibration calibration;
  if (find_method(options.method).needs_hessian)
    calibration.samples = random_windows(options, options.samples, vocab, options.seed);
  calibration.held_out =
      random_windows(options, wanted_held_out(options.samples), vocab, options.seed + 1);
  calibration.source = "random tokens";
  return calibration;
}

}  // namespace halftone
