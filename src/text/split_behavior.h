// What becomes of the matches that a text is split at: the library's SplitDelimiterBehavior.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "text/regex.h"

namespace halftone {

enum class SplitBehavior { removed, isolated, merged_with_previous, merged_with_next, contiguous };

// "Removed", "MergedWithPrevious", …; throws Error(bad_input) for another name.
SplitBehavior split_behavior(const std::string& name, const std::string& origin);

// Appends the pieces of text[whole] to `pieces`. `matches` lie within the piece and are relative to
// it; `invert` swaps what matched and what did not.
struct SplitRule {
  SplitBehavior behavior = SplitBehavior::isolated;
  bool invert = false;
};
void split_at(Span whole, const std::vector<Span>& matches, SplitRule rule,
              std::vector<Span>& pieces);

}  // namespace halftone
