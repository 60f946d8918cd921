// The witnesses of gptq_label.h. Medians rather than means: v1 cannot store a zero of 0, and the
// groups where it wrapped around are far off.
#include "format/gptq_label.h"

#include <algorithm>
#include <cmath>

#include "base/interrupt.h"
#include "format/gptq_source.h"

namespace halftone {
namespace {

constexpr int64_t kSampledRows = 64;                           // of each linear, from its middle
constexpr double kSure = 3;                                    // standard errors
constexpr double kMedianError = 1.2533, kDeviations = 1.4826;  // of a normal distribution

// The mean of code − zero of each group of the sampled rows; groups of zeros say nothing.
void add_group_means(const GptqLinear& linear, std::vector<double>& means) {
  const int64_t count = std::min(kSampledRows, linear.rows);
  const int64_t begin = (linear.rows - count) / 2;
  const QuantizedMatrix matrix = unpack_gptq(linear, begin, begin + count);
  const auto groups = static_cast<size_t>(matrix.groups());
  std::vector<int64_t> sums(groups), sizes(groups);
  for (int64_t row = 0; row < matrix.rows; ++row) {
    std::fill(sums.begin(), sums.end(), 0);
    std::fill(sizes.begin(), sizes.end(), 0);
    const uint8_t* codes = matrix.codes.data() + row * matrix.cols;
    const size_t first = static_cast<size_t>(row) * groups;
    for (int64_t col = 0; col < matrix.cols; ++col) {
      const auto group = static_cast<size_t>(matrix.group(col));
      sums[group] += codes[col] - matrix.zeros[first + group];
      ++sizes[group];
    }
    for (size_t group = 0; group < groups; ++group)
      if (sizes[group] > 0 && matrix.scales[first + group] != 0)
        means.push_back(static_cast<double>(sums[group]) / static_cast<double>(sizes[group]));
  }
}

double median(std::vector<double>& values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

struct Center {
  double value = 0, error = 0;
  // Whether it is `expected` rather than a whole step beside it.
  bool is(double expected) const { return std::abs(value - expected) + kSure * error < 0.5; }
};

Center center_of(std::vector<double> means) {
  if (means.empty()) return {0, 1};
  Center center;
  center.value = median(means);
  const double count = static_cast<double>(means.size());
  for (double& mean : means) mean = std::abs(mean - center.value);
  center.error = kMedianError * kDeviations * median(means) / std::sqrt(count);
  if (count < 8) center.error = 1;
  return center;
}

}  // namespace

LabelEvidence weigh_gptq_label(const Checkpoint& checkpoint, const GptqConfig& config,
                               std::optional<size_t> most_linears) {
  LabelEvidence evidence;
  evidence.label = config.version;
  std::vector<double> all, unsettled;  // group means; of linears whose zeros do not tell by value
  const std::vector<NamedGptqLinear> linears = open_gptq_linears(checkpoint, config);
  const size_t count = std::min(linears.size(), most_linears.value_or(linears.size()));
  for (size_t i = 0; i < count; ++i) {
    throw_if_interrupted();
    const NamedGptqLinear& named = linears[i * linears.size() / count];
    ++evidence.linears;
    const auto by_value =
        named.linear.grid.symmetric ? version_of_zeros(named.linear) : std::nullopt;
    if (by_value)
      ++(*by_value == config.version ? evidence.right_by_value : evidence.wrong_by_value);
    const size_t before = all.size();
    add_group_means(named.linear, all);
    if (!by_value)
      unsettled.insert(unsettled.end(), all.begin() + static_cast<std::ptrdiff_t>(before),
                       all.end());
  }
  evidence.groups = static_cast<int64_t>(all.size());
  const Center center = center_of(all);
  evidence.center = center.value;
  evidence.error = center.error;

  bool right = evidence.right_by_value > 0, wrong = evidence.wrong_by_value > 0, unknown = false;
  if (evidence.right_by_value + evidence.wrong_by_value < evidence.linears) {
    const Center rest = center_of(unsettled);
    const bool off = rest.is(config.version == GptqVersion::v1 ? -1 : 1);
    unknown = !off && !rest.is(0);
    right |= rest.is(0);
    wrong |= off;
  }
  evidence.verdict = right && wrong ? LabelVerdict::mixed
                     : unknown      ? LabelVerdict::unknown
                     : wrong        ? LabelVerdict::wrong
                                    : LabelVerdict::right;
  return evidence;
}

}  // namespace halftone
