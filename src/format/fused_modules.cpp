// q, k and v; gate and up.
#include "format/fused_modules.h"

#include <algorithm>
#include <array>
#include <map>
#include <optional>

#include "base/error.h"
#include "format/grid_limits.h"

namespace halftone {
namespace {

struct Fusion {
  std::string_view fused;
  std::array<std::string_view, 3> parts;
  size_t count;
};
constexpr std::array kFusions = {
    Fusion{"qkv_proj", {"q_proj", "k_proj", "v_proj"}, 3},
    Fusion{"gate_up_proj", {"gate_proj", "up_proj"}, 2},
};

std::string state_of(const PlannedModule& module) {
  return module.skipped ? "stays dense" : "has " + grid_text(module.grid);
}

}  // namespace

std::set<std::string> with_fused_names(std::set<std::string> modules) {
  std::set<std::string> fused;
  for (const std::string& module : modules) {
    for (const Fusion& fusion : kFusions) {
      if (!module.ends_with(fusion.parts[0])) continue;
      const std::string stem = module.substr(0, module.size() - fusion.parts[0].size());
      const bool all = std::all_of(
          fusion.parts.begin(), fusion.parts.begin() + fusion.count,
          [&](std::string_view part) { return modules.count(stem + std::string(part)) > 0; });
      if (all) fused.insert(stem + std::string(fusion.fused));
    }
  }
  modules.merge(fused);
  return modules;
}

void check_fused(std::span<const PlannedModule> modules) {
  std::map<std::string, const PlannedModule*> first_part;  // by fused name
  for (const PlannedModule& module : modules) {
    for (const Fusion& fusion : kFusions) {
      for (size_t i = 0; i < fusion.count; ++i) {
        const std::string_view part = fusion.parts[i];
        if (!module.name.ends_with(part)) continue;
        const std::string stem = module.name.substr(0, module.name.size() - part.size());
        const PlannedModule& first =
            *first_part.emplace(stem + std::string(fusion.fused), &module).first->second;
        if (module.skipped == first.skipped && (module.skipped || module.grid == first.grid))
          continue;
        throw usage_error(
            "{} {}, but {} {}: vLLM and SGLang fuse them into {} and refuse parts that differ",
            first.name, state_of(first), module.name, state_of(module), fusion.fused)
            .hint(fmt::format("give all of {}{} the same rule, or skip them together.", stem,
                              i == 1 && fusion.count == 2 ? "{gate,up}_proj" : "{q,k,v}_proj"));
      }
    }
  }
}

}  // namespace halftone
