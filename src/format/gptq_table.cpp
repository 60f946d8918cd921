// GPTQ's rows of the table of formats: what they hold, their configuration file, and who reads it.
#include <algorithm>
#include <set>

#include "base/error.h"
#include "format/fused_modules.h"
#include "format/gptq.h"
#include "format/gptq_source.h"
#include "format/grid_limits.h"

namespace halftone {
namespace {

constexpr std::string_view kConfigKeys[] = {"quantization_config"};
constexpr std::string_view kSideFiles[] = {"quantize_config.json"};
constexpr PackedReading kReading = {"gptq", open_gptq_weights, gptq_reader};

Grid grid_of(const Grid& wanted) {
  check_bits(wanted, {2, 3, 4, 8}, "gptq");
  check_group_size(wanted, {}, "gptq");
  Grid grid = wanted;
  grid.scales = ScaleStore::f16;
  grid.stores_offset = false;
  return grid;
}

std::string obstacle(const QuantizedMatrix& matrix) {
  return grid_obstacle(matrix, ScaleStore::f16, false);
}

// `text` with the characters that regular expressions take for their own escaped.
std::string escape(std::string_view text) {
  std::string escaped;
  for (const char c : text) {
    if (std::string_view(".+*?()[]{}^$|\\").find(c) != std::string_view::npos) escaped += '\\';
    escaped += c;
  }
  return escaped;
}

// A rule for each module that is not as the rest: first those that stay dense ("-:"), then those
// with a grid of their own ("+:"). No two rules match the same module, so that the order in which a
// runtime tries them does not matter. Fused names too, where all parts have the same rule.
Json dynamic_rules(const QuantizationSummary& summary, const Grid& main) {
  std::set<std::string> dense;
  std::vector<std::pair<Grid, std::set<std::string>>> others;
  for (const PlannedModule& module : summary.modules) {
    if (module.skipped) dense.insert(module.name);
    if (module.skipped || module.grid == main) continue;
    auto same = std::find_if(others.begin(), others.end(),
                             [&](const auto& other) { return other.first == module.grid; });
    if (same == others.end()) same = others.insert(others.end(), {module.grid, {}});
    same->second.insert(module.name);
  }
  Json rules = Json::object();
  for (const std::string& name : with_fused_names(std::move(dense)))
    rules["-:.*" + escape(name) + "$"] = Json::object();
  for (auto& [grid, modules] : others)
    for (const std::string& name : with_fused_names(std::move(modules)))
      rules["+:.*" + escape(name) + "$"] = {
          {"bits", grid.bits}, {"group_size", grid.group_size}, {"sym", grid.symmetric}};
  return rules;
}

Json configuration(const QuantizationSummary& summary, GptqVersion version) {
  const Grid main = main_grid(summary.modules);
  Json config;
  config["quant_method"] = "gptq";
  config["method"] = "gptq";
  config["format"] = name_of(version);
  config["checkpoint_format"] = name_of(version);
  config["bits"] = main.bits;
  config["group_size"] = main.group_size;
  config["desc_act"] = summary.scattered_groups;
  config["sym"] = main.symmetric;
  config["lm_head"] = quantizes_head(summary.modules);
  config["pack_dtype"] = "int32";
  Json rules = dynamic_rules(summary, main);
  if (!rules.empty()) config["dynamic"] = std::move(rules);
  Json meta;
  meta["quantizer"] = Json::array({"halftone"});
  if (!summary.method.empty()) {
    meta["solver"] = summary.method;
  }
  if (summary.damping) {
    meta["damp_percent"] = *summary.damping;
    meta["static_groups"] = summary.act_order;
    meta["true_sequential"] = summary.sequential;
  }
  config["meta"] = std::move(meta);
  return config;
}

void check(std::span<const PlannedModule> modules) {
  check_fused(modules);
  const PlannedModule *symmetric = nullptr, *asymmetric = nullptr;
  for (const PlannedModule& module : modules)
    if (!module.skipped) (module.grid.symmetric ? symmetric : asymmetric) = &module;
  if (symmetric && asymmetric)
    throw usage_error("--format gptq stores zeros in one way: {} is symmetric, {} is not",
                      symmetric->name, asymmetric->name)
        .hint("use --format gptq_v2.");
}

// As of mid-2026: vLLM's quantization/auto_gptq.py and marlin_utils.py, SGLang's gptq.py,
// GPTQModel's quantization/config.py. Transformers loads GPTQ through GPTQModel.
std::vector<ReaderVerdict> verdicts_of(const Grid& grid) {
  const auto one_of = [&](std::initializer_list<int64_t> sizes) {
    return std::find(sizes.begin(), sizes.end(), grid.group_size) != sizes.end();
  };
  const bool wide = grid.bits == 4 || grid.bits == 8;
  const bool marlin = wide && grid.symmetric && one_of({-1, 32, 64, 128});

  ReaderVerdict vllm{"vLLM", marlin, ""};
  if (!wide) {
    vllm.why = fmt::format("{} bits: it reads 4 and 8 in this format", grid.bits);
  } else if (!grid.symmetric) {
    vllm.why = "asymmetric: it reads symmetric ones in this format";
  } else if (!marlin) {
    vllm.why =
        fmt::format("groups of {}: its kernels have 32, 64, 128 and whole rows", grid.group_size);
  }
  ReaderVerdict sglang{"SGLang", true, ""};
  if (!marlin) sglang.why = "without its fast kernel (Marlin): slower, fp16 activations";

  const bool known = one_of({-1, 16, 32, 64, 128, 256, 512, 1024});
  const std::string why =
      known ? "" : fmt::format("groups of {}: it knows -1 and 16, 32, … 1024", grid.group_size);
  return {
      std::move(vllm), std::move(sglang), {"Transformers", known, why}, {"GPTQModel", known, why}};
}

std::vector<ReaderVerdict> readers(std::span<const PlannedModule> modules, bool) {
  std::vector<ReaderVerdict> verdicts = verdicts_of_all(modules, verdicts_of);
  const bool uniform =
      one_grid(modules) && std::none_of(modules.begin(), modules.end(),
                                        [](const PlannedModule& m) { return m.skipped; });
  for (ReaderVerdict& verdict : verdicts)
    if (verdict.reader == "Transformers" && verdict.opens && !uniform)
      verdict = {verdict.reader, false, "not all linears alike: it knows no rules for single ones"};
  refuse_quantized_head(verdicts, modules, {"Transformers"}, "it replaces linears of blocks");
  return verdicts;
}

}  // namespace

const Format kGptqFormat = {
    .name = "gptq",
    .summary = "GPTQ, 2, 3, 4 or 8 bits (asymmetric grids as gptq_v2)",
    .grid = grid_of,
    .one_grid = GridScope::fused,
    .scattered_groups = true,
    .check = check,
    .obstacle = obstacle,
    .pack = [](const std::string& module,
               const QuantizedMatrix& q) { return pack_gptq(module, q, gptq_version(q.grid)); },
    .packed_plan = plan_gptq,
    .configuration =
        [](const QuantizationSummary& summary) {
          return configuration(summary, gptq_version(main_grid(summary.modules)));
        },
    .config_keys = kConfigKeys,
    .side_files = kSideFiles,
    .readers = readers,
    .open_writer = open_safetensors_writer,
    .reading = kReading};

const Format kGptqV2Format = {
    .name = "gptq_v2",
    .summary = "GPTQ with zeros as they are, 2, 3, 4 or 8 bits",
    .grid = grid_of,
    .one_grid = GridScope::fused,
    .scattered_groups = true,
    .check = check_fused,
    .obstacle = obstacle,
    .pack = [](const std::string& module,
               const QuantizedMatrix& q) { return pack_gptq(module, q, GptqVersion::v2); },
    .packed_plan = plan_gptq,
    .configuration = [](const QuantizationSummary& s) { return configuration(s, GptqVersion::v2); },
    .config_keys = kConfigKeys,
    .side_files = kSideFiles,
    .readers = readers,
    .open_writer = open_safetensors_writer,
    .reading = kReading};

}  // namespace halftone
