// Whether a model's values are numbers that can be computed with.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "apps/doctor_finding.h"
#include "base/thread_pool.h"
#include "io/checkpoint.h"
#include "tensor/weight_source.h"

namespace halftone {

// What is wrong with one tensor. Scales are counted by kind; of other values the first that is not
// finite is named.
struct ValueTrouble {
  std::string name;        // the linear's module, or the tensor
  int64_t scales = 0;      // that it has; 0: not a tensor of scales
  int64_t not_finite = 0;  // of the scales
  int64_t zero = 0;        // every weight of such a group is zero
  int64_t denormal = 0;    // below the type's normal range: few bits are left, or none
  std::string first = {};  // "NaN at [3, 17]"
  bool broken() const { return not_finite > 0 || !first.empty(); }
};

enum class ScannedValues : uint8_t { all, dense };  // dense: neither codes nor their scales

// Reads every dense value, every scale of a packed checkpoint, and all that a GGUF decodes to.
// Only tensors with trouble, in the order of the source. Shows progress unless `quiet`.
std::vector<ValueTrouble> scan_values(const Checkpoint& checkpoint, const WeightSource& source,
                                      ThreadPool& threads, bool quiet,
                                      ScannedValues scanned = ScannedValues::all);

// One finding for what is broken, one for what is to be known; one alone when all is well.
// `scales`: there were some to look at.
std::vector<Finding> value_findings(const std::vector<ValueTrouble>& troubles, bool scales);

}  // namespace halftone
