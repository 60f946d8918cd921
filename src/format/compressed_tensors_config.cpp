// config_groups, targets and ignore.
#include "format/compressed_tensors_config.h"

#include <algorithm>

#include "base/error.h"
#include "base/log.h"
#include "base/printable.h"

namespace halftone {
namespace {

std::vector<CompressedTarget> read_targets(const JsonObject& config, const char* key) {
  std::vector<CompressedTarget> targets;
  const Json* list = config.find(key);
  if (list == nullptr) return targets;
  if (!list->is_array()) throw bad_input("{}: {}: expected a list", config.origin(), key);
  for (const Json& entry : *list) {
    if (!entry.is_string())
      throw bad_input("{}: {}: expected texts, got {}", config.origin(), key, entry.type_name());
    CompressedTarget target{entry.get<std::string>(), {}};
    if (target.text.starts_with("re:")) {
      std::string trouble;
      target.pattern =
          NamePattern::compile(target.text.substr(3), NamePattern::Place::start, trouble);
      if (!target.pattern)
        throw bad_input("{}: {}: '{}': not a regular expression: {}", config.origin(), key,
                        printable(target.text), trouble);
    }
    targets.push_back(std::move(target));
  }
  return targets;
}

// "group_0.weights" → a grid.
Grid read_weights(const JsonObject& weights) {
  const auto refuse = [&](const char* key, const std::string& got, const char* expected) {
    return bad_input("{}: {}: {}, expected {}", weights.origin(), key, printable(got), expected);
  };
  Grid grid;
  grid.bits = static_cast<int>(weights.integer("num_bits", 1, 32));
  if (grid.bits > 8) throw refuse("num_bits", std::to_string(grid.bits), "1 to 8");
  const std::string type = weights.maybe_text("type").value_or("int");
  if (type != "int") throw refuse("type", type, "int");
  grid.symmetric = weights.flag("symmetric", true);
  const auto size = weights.maybe_integer("group_size", -1, 1 << 24);
  const std::string strategy =
      weights.maybe_text("strategy").value_or(size.value_or(-1) > 0 ? "group" : "channel");
  if (strategy == "channel") {
    grid.group_size = -1;
  } else if (strategy == "group") {
    grid.group_size = size.value_or(0);
    if (grid.group_size < 1)
      throw refuse("group_size", std::to_string(size.value_or(0)), "1 or more");
  } else {
    throw refuse("strategy", strategy, "group or channel");
  }
  if (weights.flag("dynamic", false)) throw refuse("dynamic", "true", "false");
  return grid;
}

CompressedGroup read_group(const std::string& name, const Json& json, const std::string& origin) {
  const JsonObject group(json, origin + ": config_groups: " + printable(name));
  for (const char* key : {"input_activations", "output_activations"})
    if (group.has(key))
      throw bad_input("{}: {}: quantizes activations, which cannot be read", group.origin(), key)
          .hint("weight-only checkpoints can be.");
  const std::string format = group.maybe_text("format").value_or("pack-quantized");
  if (format != "pack-quantized")
    throw bad_input("{}: format {}, expected pack-quantized", group.origin(), printable(format));
  const auto weights = group.maybe_object("weights");
  if (!weights) throw bad_input("{}: weights: missing", group.origin());
  return {name, read_targets(group, "targets"), read_weights(*weights)};
}

bool any_names(const std::vector<CompressedTarget>& targets, const std::string& module) {
  return std::any_of(targets.begin(), targets.end(),
                     [&](const CompressedTarget& target) { return target.names(module); });
}

}  // namespace

bool CompressedTarget::names(const std::string& module) const {
  return pattern ? pattern->matches(module) : text == module;
}

Grid CompressedConfig::grid_of(const std::string& module) const {
  if (any_names(ignore, module))
    throw bad_input("{}: is packed, but `ignore` says that it is dense", printable(module))
        .hint(origin + " and the tensors do not agree.");
  for (const CompressedGroup& group : groups)
    if (any_names(group.targets, module)) return group.grid;
  for (const CompressedGroup& group : groups)
    for (const CompressedTarget& target : group.targets)
      if (target.text == "Linear") return group.grid;
  throw bad_input("{}: is packed, but no config group is for it", printable(module))
      .hint(origin + " and the tensors do not agree.");
}

CompressedConfig read_compressed_config(const StatedQuantization& stated) {
  const JsonObject config(stated.json, stated.origin);
  if (stated.format != "pack-quantized" && stated.format != "mixed-precision")
    throw bad_input("{}: compressed-tensors in the layout {}, expected pack-quantized",
                    stated.origin, printable(stated.format))
        .hint("weights of 2, 3, 4 or 8 bits packed as integers can be read.");
  if (const auto sparsity = config.maybe_object("sparsity_config")) {
    const std::string format = sparsity->maybe_text("format").value_or("dense");
    if (format != "dense")
      throw bad_input("{}: sparsity_config: format {}, expected dense", stated.origin,
                      printable(format));
  }
  if (config.has("kv_cache_scheme"))
    spdlog::warn("{}: kv_cache_scheme: the cache is not quantized here", stated.origin);
  CompressedConfig result;
  result.origin = stated.origin;
  const auto groups = config.maybe_object("config_groups");
  if (!groups) throw bad_input("{}: config_groups: missing", stated.origin);
  for (const auto& [name, group] : groups->json().items())
    result.groups.push_back(read_group(name, group, stated.origin));
  result.ignore = read_targets(config, "ignore");
  return result;
}

}  // namespace halftone
