// compressed-tensors' row of the table of formats: what it holds, its configuration, who reads it.
#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "format/compressed_tensors.h"
#include "format/compressed_tensors_source.h"
#include "format/fused_modules.h"
#include "format/grid_limits.h"

namespace halftone {
namespace {

constexpr std::string_view kConfigKeys[] = {"quantization_config"};

// Scales stay in the type that they have: the model's own when they are fitted, for some loaders
// convert to it, and what they were in the checkpoint that is repacked.
Grid grid_of(const Grid& wanted) {
  check_bits(wanted, {2, 3, 4, 8}, "compressed-tensors");
  check_group_size(wanted, {}, "compressed-tensors");
  Grid grid = wanted;
  grid.stores_offset = false;
  return grid;
}

std::string obstacle(const QuantizedMatrix& matrix) {
  return grid_obstacle(matrix, matrix.grid.scales, true);
}

Json group_of(const Grid& grid, Json targets) {
  Json weights;
  weights["num_bits"] = grid.bits;
  weights["type"] = "int";
  weights["symmetric"] = grid.symmetric;
  weights["strategy"] = grid.group_size < 0 ? "channel" : "group";
  weights["group_size"] = grid.group_size < 0 ? Json() : Json(grid.group_size);
  weights["dynamic"] = false;
  weights["actorder"] = nullptr;
  Json group;
  group["targets"] = std::move(targets);
  group["weights"] = std::move(weights);
  group["input_activations"] = nullptr;
  group["output_activations"] = nullptr;
  return group;
}

// The grid of most weights is for the class of all linears; modules with another are named, and so
// are the fused modules that they make up: names win over classes.
Json configuration(const QuantizationSummary& summary) {
  const Grid main = main_grid(summary.modules);
  std::vector<std::pair<Grid, std::set<std::string>>> others;
  Json ignore = Json::array();
  bool head = false;
  for (const PlannedModule& module : summary.modules) {
    head |= module.role == Role::head;
    if (module.skipped) ignore.push_back(module.name);
    if (module.skipped || module.grid == main) continue;
    auto same = std::find_if(others.begin(), others.end(),
                             [&](const auto& other) { return other.first == module.grid; });
    if (same == others.end()) same = others.insert(others.end(), {module.grid, {}});
    same->second.insert(module.name);
  }
  if (!head) ignore.push_back("lm_head");
  Json groups;
  groups["group_0"] = group_of(main, Json::array({"Linear"}));
  for (auto& [grid, modules] : others)
    groups[fmt::format("group_{}", groups.size())] =
        group_of(grid, Json(with_fused_names(std::move(modules))));
  Json config;
  config["quant_method"] = "compressed-tensors";
  config["format"] = "pack-quantized";
  config["quantization_status"] = "compressed";
  config["global_compression_ratio"] = nullptr;
  config["kv_cache_scheme"] = nullptr;
  config["ignore"] = std::move(ignore);
  config["config_groups"] = std::move(groups);
  return config;
}

// As of mid-2026: vLLM's compressed_tensors_wNa16.py, SGLang's copy of it, and the
// compressed-tensors package, which Transformers calls.
std::vector<ReaderVerdict> verdicts_of(const Grid& grid) {
  const bool wide = grid.bits == 4 || grid.bits == 8;
  const bool marlin = grid.group_size == -1 || grid.group_size == 32 || grid.group_size == 64 ||
                      grid.group_size == 128;
  ReaderVerdict vllm{"vLLM", wide || grid.symmetric, ""};
  if (!vllm.opens)
    vllm.why = fmt::format("{} bits, asymmetric: it reads 4 and 8 bits so", grid.bits);
  else if (!wide || !marlin)
    vllm.why = "without its fast kernel (Marlin): slower";
  ReaderVerdict sglang{"SGLang", wide && grid.symmetric, ""};
  if (!sglang.opens) sglang.why = "it reads 4 and 8 bits, symmetric, in this format";
  ReaderVerdict transformers{"Transformers", grid.symmetric, ""};
  if (!grid.symmetric)  // 5.23 with compressed-tensors 0.20: no room for packed zeros otherwise
    transformers.why = "asymmetric, unless loaded by CompressedTensorsConfig(dequantize=True)";
  if (grid.symmetric && grid.bits == 3) transformers.why = "with compressed-tensors 0.18 or newer";
  return {std::move(vllm), std::move(sglang), std::move(transformers)};
}

std::vector<ReaderVerdict> readers(std::span<const PlannedModule> modules, bool) {
  std::vector<ReaderVerdict> verdicts = verdicts_of_all(modules, verdicts_of);
  refuse_quantized_head(verdicts, modules, {"SGLang"}, "it loads that as if it were dense");
  return verdicts;
}

}  // namespace

const Format kCompressedTensorsFormat = {
    .name = "compressed-tensors",
    .summary = "llm-compressor's pack-quantized, 2, 3, 4 or 8 bits",
    .grid = grid_of,
    .one_grid = GridScope::fused,
    .check = check_fused,
    .obstacle = obstacle,
    .pack = pack_compressed,
    .packed_plan = plan_compressed,
    .configuration = configuration,
    .config_keys = kConfigKeys,
    .side_files = {},
    .readers = readers,
    .open_writer = open_safetensors_writer,
    .reading = {"compressed-tensors", open_compressed_tensors_weights, compressed_tensors_reader}};

}  // namespace halftone
