// The report's drawings, each an inline SVG whose colours come from the style sheet. Colour never
// speaks alone: figures stand beside it, dots grow with the error, and every mark has its value as
// a tooltip.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "apps/report.h"

namespace halftone::report {

// Relative error of every module: a dot for each role (down) and layer (across), larger and darker
// with the error, on a logarithmic scale of eight levels; then the scale.
std::string error_map(const std::vector<ReportModule>& modules);

// Mean relative error of each layer's modules as a line, least to greatest as a band; logarithmic.
std::string error_by_layer(const std::vector<ReportModule>& modules);

// KL divergence over bits a weight, a line for each series of rows that has one; empty when fewer
// than two rows do.
std::string loss_against_size(const std::vector<ReportRow>& rows);

// Horizontal bars from zero, the label and the words above each.
struct Bar {
  std::string label, words;
  double value = 0;
  std::optional<double> error;  // a whisker of this half length
  bool best = false;
};
std::string bars(const std::vector<Bar>& bars);

}  // namespace halftone::report
