// What a quantization will take, before it runs: memory, disk, and (measured on one layer) time.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "apps/memory_estimate.h"
#include "model/activation_store.h"

namespace halftone {

struct Estimate {
  int64_t memory_bytes = 0;  // peak of the host's memory, anonymous
  int64_t kept_bytes = 0;    // beside it: kept for reuse, where the limit leaves room
  int64_t least_bytes = 0;   // of it, with all activations on disk
  int64_t device_bytes = 0;  // the same of a device that has memory of its own; else 0
  int64_t least_device_bytes = 0;
  int64_t disk_bytes = 0;        // output, journal, spilled activations: at their sum's peak
  int64_t spilled_bytes = 0;     // activations that go to disk under the limits
  ActivationBudget activations;  // where they lie
  bool load_ahead = true;        // on a device: a stage's original weights, and those of the output
  // What is left to the allocators of the backend and of the host when the program has its share.
  int64_t allocator_limit = 0, host_allocator_limit = 0;
  bool spills() const { return spilled_bytes > 0; }
};

// Limits: those of options, else what the device's allocator may give and what the cgroup leaves to
// this process. Throws Error(resources) when one is below the least (says it), or when the disk
// that holds the output has too little room.
Estimate estimate_resources(const EstimateInput& input);
// "1.3 GB of memory, 1.5 GB of disk", the device's first where it has its own.
std::string memory_text(const Estimate& estimate);
// From now on the backend's allocators refuse to pass what the estimate promises.
void apply_limits(Backend& backend, const Estimate& estimate);
// Gives the allocators back the limits that they had, when a job among several ends.
class LimitScope {
 public:
  explicit LimitScope(Backend& backend);
  ~LimitScope();
  LimitScope(const LimitScope&) = delete;
  LimitScope& operator=(const LimitScope&) = delete;

 private:
  Backend& backend_;
  const int64_t device_, host_;
};

// A whole layer run on a few windows, and what that makes for all.
struct TimeEstimate {
  double seconds = 0, seconds_per_layer = 0;
};
TimeEstimate estimate_time(const EstimateInput& input);

// "Plan  196 linears → 4 bits, groups of 128 …", a line each.
std::vector<std::string> plan_lines(const OpenedModel& model, const Plan& plan);

// --dry-run: everything that quantize() checks, and the estimate; as text for people.
std::string dry_run(Backend& backend, const OpenedModel& model, const QuantizeOptions& options,
                    Json* json);

}  // namespace halftone
