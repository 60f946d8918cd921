// Round to nearest: fit, encode, and nothing to solve.
#include "quant/rtn.h"

#include "quant/clip.h"
#include "quant/device_matrix.h"
#include "quant/quadratic_form.h"

namespace halftone {

SolveResult solve_rtn(Backend& backend, ConstView weight, const Factor* factor,
                      const SolverOptions& options) {
  SolveResult result{{backend, options.fit.grid, weight.rows, weight.cols}, {}};
  const DeviceMatrix& matrix = result.matrix;
  {
    const auto values = static_cast<double>(weight.rows * weight.cols);
    const ProfileScope scope(options.profile, "scales", 0, values * sizeof(float));
    const bool known = factor != nullptr && factor->usable() &&
                       (options.clip || options.fit.search == ScaleSearch::importance);
    const std::vector<float> importance = known ? factor->importance() : std::vector<float>();
    fit_ranges(backend, weight, options, matrix.scales, matrix.zeros, importance);
  }
  backend.encode(weight, matrix.grid, matrix.view());
  if (factor != nullptr && factor->usable()) {
    const LayerError loss = layer_error(backend, weight, matrix.view(), *factor);
    result.report.relative_error = loss.relative();
    result.report.energy = loss.energy;
    result.report.dead_columns = static_cast<int>(factor->dead.size());
  }
  return result;
}

}  // namespace halftone
