#include "apps/work_done.h"

namespace halftone {
namespace {

// Of the work on a stage; the rest is solving.
constexpr double kShareOfWindows = 0.85;

}  // namespace

double WorkDone::of_all(double stages) const {
  return stages / static_cast<double>(layers_ * kStages + (head_ ? 1 : 0));
}

double WorkDone::in_windows(const StageId& id, double part) const {
  const auto before = static_cast<double>(stages_before(id, layers_));
  const bool together = at_once_ && id != kHeadStage;
  if (!together) return of_all(before + kShareOfWindows * part);
  return of_all(before - static_cast<double>(id.stage) + kStages * kShareOfWindows * part);
}

double WorkDone::solved(const StageId& id) const {
  const auto before = static_cast<double>(stages_before(id, layers_));
  if (!at_once_ || id == kHeadStage) return of_all(before + 1);
  const auto rest = static_cast<double>(kStages - 1 - static_cast<int>(id.stage));
  return of_all(before + 1 + kShareOfWindows * rest);
}

}  // namespace halftone
