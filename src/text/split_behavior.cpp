// See split_behavior.h. Semantics: NormalizedString::split of the `tokenizers` library.
#include "text/split_behavior.h"

#include <algorithm>

#include "base/error.h"

namespace halftone {
namespace {

struct Part {
  Span span;
  bool match;
};

// The piece as an unbroken row of matches and what lies between them.
std::vector<Part> parts_of(Span whole, const std::vector<Span>& matches, bool invert) {
  std::vector<Part> parts;
  parts.reserve(matches.size() * 2 + 1);
  size_t done = whole.begin;
  for (const Span& match : matches) {
    const Span span{whole.begin + match.begin, whole.begin + match.end};
    if (done < span.begin) parts.push_back({{done, span.begin}, invert});
    parts.push_back({span, !invert});
    done = span.end;
  }
  if (done < whole.end) parts.push_back({{done, whole.end}, invert});
  return parts;
}

void push(Span span, std::vector<Span>& pieces) {
  if (span.begin < span.end) pieces.push_back(span);
}

// Neighbours become one where `joins(part, previous part's match)` says so.
template <class Joins>
void push_joined(const std::vector<Part>& parts, Joins joins, std::vector<Span>& pieces) {
  bool previous = false;
  std::vector<Span> joined;
  for (const Part& part : parts) {
    if (!joined.empty() && joins(part.match, previous)) {
      joined.back() = {std::min(joined.back().begin, part.span.begin),
                       std::max(joined.back().end, part.span.end)};
    } else {
      joined.push_back(part.span);
    }
    previous = part.match;
  }
  std::sort(joined.begin(), joined.end(), [](Span a, Span b) { return a.end < b.end; });
  for (const Span& span : joined) push(span, pieces);
}

}  // namespace

SplitBehavior split_behavior(const std::string& name, const std::string& origin) {
  if (name == "Removed") return SplitBehavior::removed;
  if (name == "Isolated") return SplitBehavior::isolated;
  if (name == "MergedWithPrevious") return SplitBehavior::merged_with_previous;
  if (name == "MergedWithNext") return SplitBehavior::merged_with_next;
  if (name == "Contiguous") return SplitBehavior::contiguous;
  throw bad_input(
      "{}: behavior: got \"{}\", expected Removed, Isolated, MergedWithPrevious, "
      "MergedWithNext or Contiguous",
      origin, name);
}

void split_at(Span whole, const std::vector<Span>& matches, SplitRule rule,
              std::vector<Span>& pieces) {
  std::vector<Part> parts = parts_of(whole, matches, rule.invert);
  switch (rule.behavior) {
    case SplitBehavior::isolated:
      for (const Part& part : parts) push(part.span, pieces);
      return;
    case SplitBehavior::removed:
      for (const Part& part : parts) {
        if (!part.match) push(part.span, pieces);
      }
      return;
    case SplitBehavior::contiguous:
      return push_joined(
          parts, [](bool match, bool previous) { return match == previous; }, pieces);
    case SplitBehavior::merged_with_previous:
      return push_joined(
          parts, [](bool match, bool previous) { return match && !previous; }, pieces);
    case SplitBehavior::merged_with_next:
      // The same from the right.
      std::reverse(parts.begin(), parts.end());
      return push_joined(
          parts, [](bool match, bool previous) { return match && !previous; }, pieces);
  }
}

}  // namespace halftone
