// The cells of a comparison: every combination that was asked for, planned before the first runs.
#pragma once

#include <string>
#include <vector>

#include "apps/compare.h"

namespace halftone {

struct CompareCell {
  CompareRow row;
  QuantizeOptions options;
  Plan plan;
  std::string directory;  // its name: see directory_of()
};

// Those that come to the same plan, texts and samples are one; a note says how many. Throws Error:
// what make_plan() throws.
std::vector<CompareCell> plan_cells(Backend& backend, const OpenedModel& model,
                                    const CompareOptions& options, std::vector<std::string>& notes);

// "gptq-4bit-g128-128x", "gptq-Q4_K_M-128x", with the steps that are not the method's usual ones
// ("-order-none"), the text and the rules where cells differ in them. Characters that names of
// files, or shells, are better without become _; such a name ends with a hash of what it stands
// for, so that no two cells share one. `usual`: the steps of a cell for which none was asked.
std::string directory_of(const CompareRow& row, const CompareRow& usual);

// What was asked of all cells, as the options say it; empty: nothing.
std::string settings_text(const QuantizeOptions& options);

}  // namespace halftone
