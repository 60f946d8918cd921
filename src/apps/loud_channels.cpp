#include "apps/loud_channels.h"

#include <algorithm>
#include <cmath>
#include <tuple>

namespace halftone {
namespace {

constexpr size_t kLoudest = 4;

}  // namespace

void note_channels(const Hessian& hessian, StageRecord& record) {
  const int64_t n = hessian.inputs();
  const std::vector<float>& sums = hessian.diagonal();
  std::vector<LoudChannel> channels(static_cast<size_t>(n));
  for (int64_t i = 0; i < n; ++i)
    channels[static_cast<size_t>(i)] = {
        i, std::sqrt(double{sums[static_cast<size_t>(i)]} / static_cast<double>(hessian.tokens()))};
  const auto louder = [](const LoudChannel& a, const LoudChannel& b) {
    return std::tuple(-a.rms, a.channel) < std::tuple(-b.rms, b.channel);
  };
  const auto median = channels.begin() + static_cast<std::ptrdiff_t>(channels.size() / 2);
  std::nth_element(channels.begin(), median, channels.end(), louder);
  record.typical_rms = median->rms;
  const auto count = static_cast<std::ptrdiff_t>(std::min(kLoudest, channels.size()));
  std::partial_sort(channels.begin(), channels.begin() + count, channels.end(), louder);
  channels.resize(static_cast<size_t>(count));
  record.loudest = std::move(channels);
}

}  // namespace halftone
