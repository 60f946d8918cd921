// Whether a GPTQ checkpoint's zero points are what its label says. v1 ("gptq") stores zero − 1, v2
// ("gptq_v2") the zero itself, and published checkpoints carry either under either label; a loader
// that believes a wrong one shifts every weight by a whole step.
//
// Two witnesses. A symmetric grid has one zero, 2^(bits−1), which is known by its value. And on any
// grid weights scatter about 0, so codes scatter about their zero: code − zero is near 0 on average
// when the label is right. Labelled v1 but stored as v2, zeros are read one too high and it is near
// −1; labelled v2 but stored as v1, near +1.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>

#include "format/gptq_config.h"
#include "io/checkpoint.h"

namespace halftone {

enum class LabelVerdict : uint8_t {
  right,
  wrong,    // every witness says the other version
  mixed,    // some linears are of one version, some of the other: no label is right
  unknown,  // too few groups to tell, or neither version fits
};

struct LabelEvidence {
  GptqVersion label = GptqVersion::v1;
  LabelVerdict verdict = LabelVerdict::right;
  int64_t linears = 0;
  int64_t right_by_value = 0, wrong_by_value = 0;  // linears whose symmetric zeros tell
  // Of all linears' sampled groups: the median of the mean of code − zero, zeros read by the label,
  // and its standard error.
  int64_t groups = 0;
  double center = 0, error = 0;
};

// Reads a sample of rows of every linear, or of `most_linears` from first to last. Throws
// Error(bad_input) as opening the checkpoint does.
LabelEvidence weigh_gptq_label(const Checkpoint& checkpoint, const GptqConfig& config,
                               std::optional<size_t> most_linears = std::nullopt);

}  // namespace halftone
