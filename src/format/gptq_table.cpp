// GPTQ's configuration file, and what its readers open.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <set>

#include "format/gptq.h"

namespace halftone {
namespace {

// `text` with the characters that regular expressions take for their own escaped.
std::string escape(std::string_view text) {
  std::string escaped;
  for (const char c : text) {
    if (std::string_view(".+*?()[]{}^$|\\").find(c) != std::string_view::npos) escaped += '\\';
    escaped += c;
  }
  return escaped;
}

// Serving runtimes fuse these linears and ask for the fused module's name.
struct Fusion {
  std::string_view fused;
  std::array<std::string_view, 3> parts;
  size_t count;
};
constexpr std::array kFusions = {
    Fusion{"qkv_proj", {"q_proj", "k_proj", "v_proj"}, 3},
    Fusion{"gate_up_proj", {"gate_proj", "up_proj"}, 2},
};

// "-:regex" rules: modules that stay dense, their fused names where all parts do.
Json dense_rules(const std::vector<std::string>& skipped) {
  std::set<std::string> modules(skipped.begin(), skipped.end());
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
  Json rules = Json::object();
  for (const std::string& module : modules) {
    rules["-:.*" + escape(module) + "$"] = Json::object();
  }
  return rules;
}

}  // namespace

Json gptq_configuration(const QuantizationSummary& summary) {
  const std::string version(name_of(gptq_version(summary.grid)));
  Json config;
  config["quant_method"] = "gptq";
  config["method"] = "gptq";
  config["format"] = version;
  config["checkpoint_format"] = version;
  config["bits"] = summary.grid.bits;
  config["group_size"] = summary.grid.group_size;
  config["desc_act"] = false;  // groups stay where they were: g_idx is trivial
  config["sym"] = summary.grid.symmetric;
  config["lm_head"] = false;
  config["pack_dtype"] = "int32";
  if (!summary.skipped.empty()) config["dynamic"] = dense_rules(summary.skipped);
  Json meta;
  meta["quantizer"] = Json::array({"halftone"});
  meta["solver"] = summary.method;
  meta["damp_percent"] = summary.damping;
  meta["static_groups"] = summary.act_order;
  meta["true_sequential"] = true;
  config["meta"] = std::move(meta);
  return config;
}

std::vector<std::string_view> gptq_side_files() { return {"quantize_config.json"}; }

// As of mid-2026: vLLM's quantization/auto_gptq.py and marlin_utils.py, SGLang's gptq.py,
// GPTQModel's quantization/config.py. Transformers loads GPTQ through GPTQModel.
std::vector<ReaderVerdict> gptq_readers(const Grid& grid) {
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

}  // namespace halftone
