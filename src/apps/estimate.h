// What a quantization will take, before it runs: memory, disk, and (measured on one layer) time.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "apps/calibration.h"
#include "apps/plan.h"

namespace halftone {

struct Estimate {
  int64_t memory_bytes = 0;  // peak, anonymous
  int64_t least_bytes = 0;   // with activations on disk
  int64_t disk_bytes = 0;    // output, journal, spilled activations: at their sum's peak
  bool spills = false;       // activations go to disk under the limit
};

// Throws Error(resources) when --max-memory is below the least (says it), or when the disk that
// holds the output has too little room.
Estimate estimate_resources(const OpenedModel& model, const Plan& plan,
                            const Calibration& calibration, DType compute,
                            const QuantizeOptions& options);

// A whole layer run on a few windows, and what that makes for all.
struct TimeEstimate {
  double seconds = 0, seconds_per_layer = 0;
};
TimeEstimate estimate_time(Backend& backend, const OpenedModel& model, const Plan& plan,
                           const Calibration& calibration, DType compute);

// "Plan  196 linears → 4 bits, groups of 128 …", a line each.
std::vector<std::string> plan_lines(const OpenedModel& model, const Plan& plan);

// --dry-run: everything that quantize() checks, and the estimate; as text for people.
std::string dry_run(Backend& backend, const OpenedModel& model, const QuantizeOptions& options,
                    Json* json);

}  // namespace halftone
