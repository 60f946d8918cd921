// AWQ's row of the table of formats: what it holds, its configuration, and who reads it.
#include <fmt/format.h>

#include <algorithm>

#include "format/awq.h"
#include "format/awq_source.h"
#include "format/fused_modules.h"
#include "format/grid_limits.h"

namespace halftone {
namespace {

constexpr std::string_view kConfigKeys[] = {"quantization_config"};

Grid grid_of(const Grid& wanted) {
  check_bits(wanted, {4}, "awq");
  check_group_size(wanted, {}, "awq");
  Grid grid = wanted;
  grid.scales = ScaleStore::f16;
  grid.stores_offset = false;
  return grid;
}

void check(std::span<const PlannedModule> modules) {
  check_one_grid(modules, "awq");
  check_fused(modules);
}

std::string obstacle(const QuantizedMatrix& matrix) {
  return grid_obstacle(matrix, ScaleStore::f16, true);
}

Json configuration(const QuantizationSummary& summary) {
  const Grid main = main_grid(summary.modules);
  Json config;
  config["quant_method"] = "awq";
  config["bits"] = main.bits;
  config["group_size"] = main.group_size;
  config["zero_point"] = true;  // zeros are stored for symmetric grids too
  config["version"] = "gemm";
  Json dense = Json::array();
  for (const PlannedModule& module : summary.modules)
    if (module.skipped) dense.push_back(module.name);
  const bool head = quantizes_head(summary.modules);
  if (head) config["lm_head"] = true;
  // Which readers know by themselves where nothing else stays dense.
  if (!dense.empty() && !head) dense.push_back("lm_head");
  config["modules_to_not_convert"] = dense.empty() ? Json() : std::move(dense);
  return config;
}

// As of mid-2026: vLLM's quantization/auto_awq.py and marlin_utils.py, SGLang's awq.py, GPTQModel's
// quantization/config.py. Transformers loads AWQ through GPTQModel or AutoAWQ.
std::vector<ReaderVerdict> verdicts_of(const Grid& grid) {
  const auto one_of = [&](std::initializer_list<int64_t> sizes) {
    return std::find(sizes.begin(), sizes.end(), grid.group_size) != sizes.end();
  };
  const bool marlin = one_of({-1, 32, 64, 128});
  const std::string slow = marlin ? "" : "without its fast kernel (Marlin): slower";
  const bool known = one_of({-1, 16, 32, 64, 128, 256, 512, 1024});
  const std::string why =
      known ? "" : fmt::format("groups of {}: it knows -1 and 16, 32, … 1024", grid.group_size);
  return {{"vLLM", true, slow},
          {"SGLang", true, slow},
          {"Transformers", known, why},
          {"GPTQModel", known, why}};
}

std::vector<ReaderVerdict> readers(std::span<const PlannedModule> modules, bool) {
  std::vector<ReaderVerdict> verdicts = verdicts_of_all(modules, verdicts_of);
  refuse_quantized_head(verdicts, modules, {"Transformers"}, "it never replaces that");
  return verdicts;
}

}  // namespace

const Format kAwqFormat = {.name = "awq",
                           .summary = "AutoAWQ's GEMM layout, 4 bits",
                           .grid = grid_of,
                           .one_grid = GridScope::model,
                           .check = check,
                           .obstacle = obstacle,
                           .pack = pack_awq,
                           .packed_plan = plan_awq,
                           .configuration = configuration,
                           .config_keys = kConfigKeys,
                           .side_files = {},
                           .readers = readers,
                           .open_writer = open_safetensors_writer,
                           .reading = {"awq", open_awq_weights, awq_reader}};

}  // namespace halftone
