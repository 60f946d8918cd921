// What a GPTQ checkpoint says of its own packing, in any of the spellings in use.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/name_pattern.h"
#include "format/gptq.h"
#include "format/stated_quantization.h"

namespace halftone {

// One of GPTQModel's `dynamic` rules: "-:regex" leaves modules dense, "+:regex" or a bare one gives
// them what it names. Anchored at the start of the module's name.
struct GptqRule {
  bool dense = false;
  NamePattern pattern;
  std::string text;  // as it stands in the file
  std::optional<int64_t> bits, group_size;
  std::optional<bool> symmetric;
};

struct GptqConfig {
  std::string origin;  // the file, for errors
  Grid grid;
  GptqVersion version = GptqVersion::v1;
  bool act_order = false;
  std::vector<GptqRule> rules;

  // The grid of a module: that of the first rule with a grid that matches. Throws Error(bad_input)
  // when a rule says that it is dense.
  Grid grid_of(const std::string& module) const;
};

// Throws Error(bad_input) for values that we do not read.
GptqConfig read_gptq_config(const StatedQuantization& stated);

}  // namespace halftone
