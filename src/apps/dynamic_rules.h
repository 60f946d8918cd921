// --dynamic: grids of single modules, in GPTQModel's words. {"-:regex": {}} leaves modules dense;
// {"+:regex": {"bits": 8, "group_size": 32, "sym": true}} gives them what it names, and so does a
// bare regex. Expressions (PCRE) are anchored at the start of the module's name.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/json.h"
#include "base/name_pattern.h"
#include "tensor/quantized.h"

namespace halftone {

class DynamicRules {
 public:
  // Each entry is a JSON object, or a file that holds one. Throws Error(usage) for what is no rule,
  // Error(bad_input) for a file that is no JSON.
  explicit DynamicRules(const std::vector<std::string>& entries);
  // All of them as one object, in order.
  static Json read(const std::vector<std::string>& entries);

  struct Choice {
    Grid grid;           // the one given, changed as the rules say
    std::string skip;    // the rule that leaves the module dense; empty: quantized
    bool ruled = false;  // a rule matched, whether or not it changed anything
  };
  // Readers differ in which of several rules counts, so all that match must say the same. Throws
  // Error(usage) naming two that do not, and the module.
  Choice choose(const std::string& module, const Grid& grid);
  // Throws Error(usage) when a rule has matched nothing: a slip, most likely.
  void check_all_used() const;

 private:
  struct Rule {
    std::string text;  // with its prefix
    bool dense = false;
    NamePattern pattern;
    std::optional<int> bits;
    std::optional<int64_t> group_size;
    std::optional<bool> symmetric;
    bool used = false;
    Grid applied_to(Grid grid) const;
  };
  void add(const std::string& text, const Json& value);

  std::vector<Rule> rules_;
};

}  // namespace halftone
