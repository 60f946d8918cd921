// Patterns in order, and which of them were of use.
#include "apps/name_filter.h"

#include "base/error.h"

namespace halftone {

NameFilter::NameFilter(const std::vector<std::string>& patterns, std::string option)
    : option_(std::move(option)) {
  for (const std::string& text : patterns) {
    std::string trouble;
    auto pattern = NamePattern::compile(text, NamePattern::Place::anywhere, trouble);
    if (!pattern)
      throw usage_error("{} '{}': not a regular expression: {}", option_, text, trouble)
          .hint(
              "a pattern is searched for in names such as model.layers.0.mlp.down_proj; put \\ "
              "before . ( ) [ ] * + ? to mean the character itself.");
    rules_.push_back({std::move(*pattern)});
  }
}

const std::string* NameFilter::match(const std::string& name) {
  for (Rule& rule : rules_) {
    if (!rule.pattern.matches(name)) continue;
    rule.used = true;
    return &rule.pattern.text();
  }
  return nullptr;
}

void NameFilter::check_all_used() const {
  for (const Rule& rule : rules_)
    if (!rule.used)
      throw usage_error("{} '{}' matches no linear of this model", option_, rule.pattern.text())
          .hint("halftone inspect MODEL --modules lists the names.");
}

}  // namespace halftone
