// What a compressed-tensors checkpoint says of its modules: groups of targets, each with a grid,
// and those that are ignored.
#pragma once

#include <string>
#include <vector>

#include "base/name_pattern.h"
#include "format/stated_quantization.h"

namespace halftone {

// A module's name, a regular expression over names ("re:…", from the start) or the class "Linear".
struct CompressedTarget {
  std::string text;
  std::optional<NamePattern> pattern;
  bool names(const std::string& module) const;
};

struct CompressedGroup {
  std::string name;  // "group_0"
  std::vector<CompressedTarget> targets;
  Grid grid;
};

struct CompressedConfig {
  std::string origin;  // the file, for errors
  std::vector<CompressedGroup> groups;
  std::vector<CompressedTarget> ignore;

  // The grid of a packed module. Names win over classes. Throws Error(bad_input) when it is ignored
  // or no group is for it.
  Grid grid_of(const std::string& module) const;
};

// Throws Error(bad_input) for values that we do not read.
CompressedConfig read_compressed_config(const StatedQuantization& stated);

}  // namespace halftone
