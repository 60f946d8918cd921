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
};

// Those that come to the same plan, texts and samples are one; a note says how many. Throws Error:
// what make_plan() throws.
std::vector<CompareCell> plan_cells(Backend& backend, const OpenedModel& model,
                                    const CompareOptions& options, std::vector<std::string>& notes);

// "gptq-4bit-g128", "gptq-Q4_K_M", and what else tells it from the others.
std::string directory_of(const CompareRow& row);

// What was asked of all cells, as the options say it; empty: nothing.
std::string settings_text(const QuantizeOptions& options);

}  // namespace halftone
