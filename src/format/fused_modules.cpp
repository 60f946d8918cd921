// q, k and v; gate and up.
#include "format/fused_modules.h"

#include <algorithm>
#include <array>
#include <map>
#include <optional>
#include <vector>

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

// What a module is a part of.
struct PartOf {
  const Fusion* fusion;
  std::string stem;  // "model.layers.0.self_attn."
  std::string fused() const { return stem + std::string(fusion->fused); }
};

std::optional<PartOf> part_of(const std::string& module) {
  for (const Fusion& fusion : kFusions)
    for (size_t i = 0; i < fusion.count; ++i)
      if (module.ends_with(fusion.parts[i]))
        return PartOf{&fusion, module.substr(0, module.size() - fusion.parts[i].size())};
  return std::nullopt;
}

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
    const auto part = part_of(module.name);
    if (!part) continue;
    const PlannedModule& first = *first_part.emplace(part->fused(), &module).first->second;
    if (module.skipped == first.skipped && (module.skipped || module.grid == first.grid)) continue;
    throw usage_error(
        "{} {}, but {} {}: vLLM and SGLang fuse them into {} and refuse parts that differ",
        first.name, state_of(first), module.name, state_of(module), part->fusion->fused)
        .hint(fmt::format("give all of {}{} the same rule, or skip them together.", part->stem,
                          part->fusion->count == 2 ? "{gate,up}_proj" : "{q,k,v}_proj"));
  }
}

void align_grids(const Format& format, std::span<PlannedModule> modules) {
  std::map<std::string, std::vector<PlannedModule*>> groups;
  for (PlannedModule& module : modules) {
    const auto part = part_of(module.name);
    if (format.one_grid == GridScope::model && !module.skipped)
      groups["model"].push_back(&module);
    else if (format.one_grid == GridScope::fused && part)
      groups[part->fused()].push_back(&module);
  }
  const Grid main = main_grid(modules);
  for (const auto& [name, together] : groups) {
    if (std::ranges::any_of(together, &PlannedModule::skipped)) continue;
    Grid shared = format.one_grid == GridScope::model ? main : together.front()->grid;
    for (const PlannedModule* module : together) {
      const Grid& grid = module->grid;
      shared.symmetric &= grid.symmetric;
      if (format.one_grid == GridScope::model) continue;
      shared.bits = std::max(shared.bits, grid.bits);
      if (grid.group_size > 0 && (shared.group_size < 0 || grid.group_size < shared.group_size))
        shared.group_size = grid.group_size;
    }
    shared = format.grid(shared);
    for (PlannedModule* module : together) module->grid = shared;
  }
}

}  // namespace halftone
