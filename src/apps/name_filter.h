// Regular expressions over module names (PCRE, found anywhere in the name), as --skip takes them.
#pragma once

#include <string>
#include <vector>

#include "base/name_pattern.h"

namespace halftone {

class NameFilter {
 public:
  // Throws Error(usage) with the offset for an expression that does not compile; `option` is named.
  NameFilter(const std::vector<std::string>& patterns, std::string option);

  // The first pattern that is found in `name`, or null.
  const std::string* match(const std::string& name);
  // Throws Error(usage) when a pattern has matched nothing: a slip, most likely.
  void check_all_used() const;

 private:
  struct Rule {
    NamePattern pattern;
    bool used = false;
  };
  std::vector<Rule> rules_;
  std::string option_;
};

}  // namespace halftone
