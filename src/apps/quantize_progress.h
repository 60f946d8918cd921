// What a running quantization shows: a line a linear, a bar on a terminal, and the same facts as
// JSON lines beside the output.
#pragma once

#include <chrono>
#include <cstdio>
#include <string>

#include "apps/stage_record.h"
#include "base/memory_usage.h"
#include "base/progress.h"

namespace halftone {

class QuantizeProgress {
 public:
  // `log_path` is begun anew, or with `resume` continued. Throws Error(bad_input) when it cannot be
  // written.
  QuantizeProgress(const std::string& log_path, int64_t layers, bool quiet, bool resume,
                   const MemoryWatch& memory);
  ~QuantizeProgress();
  QuantizeProgress(const QuantizeProgress&) = delete;
  QuantizeProgress& operator=(const QuantizeProgress&) = delete;

  void step(double fraction, const StageId& id);
  void linear(const FinishedLinear& linear, double fraction, bool resumed);
  void finish();

 private:
  std::FILE* log_;
  int64_t layers_;
  const MemoryWatch& memory_;
  std::chrono::steady_clock::time_point start_;
  Progress progress_;
};

}  // namespace halftone
