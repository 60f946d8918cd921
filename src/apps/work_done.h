// How much of a quantization is done, for progress: counted in stages, of which the passes over the
// calibration windows are most.
#pragma once

#include <cstdint>

#include "apps/stage_record.h"

namespace halftone {

class WorkDone {
 public:
  // With `at_once`, a layer's windows pass all of it before its first stage is solved; else each
  // stage before that is solved.
  WorkDone(int64_t layers, bool head, bool at_once)
      : layers_(layers), head_(head), at_once_(at_once) {}

  // Parts of the whole, 0 to 1, never falling: when `part` of the windows have come to stage `id`
  // (with `at_once`, have passed its layer), and when it is solved.
  double in_windows(const StageId& id, double part) const;
  double solved(const StageId& id) const;

 private:
  double of_all(double stages) const;

  int64_t layers_;
  bool head_, at_once_;
};

}  // namespace halftone
