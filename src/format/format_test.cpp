#include "format/format.h"

#include <gtest/gtest.h>

#include <map>

#include "base/error.h"

namespace halftone {
namespace {

TEST(Format, NamesAreFoundAndMisspellingsListTheKnown) {
  EXPECT_EQ(find_format("gptq").name, "gptq");
  try {
    find_format("gtpq");
    ADD_FAILURE();
  } catch (const Error& error) {
    EXPECT_EQ(error.exit(), Exit::usage);
    EXPECT_STREQ(error.what(),
                 "--format gtpq: not a format, expected one of gptq, gptq_v2, awq, "
                 "compressed-tensors, gguf, mlx");
  }
}

TEST(Format, WhatIsWrittenIsReadByItsOwnRow) {
  for (const Format& format : formats()) {
    if (format.ggml_types) continue;  // a GGUF is known by what it is
    const PackedReading* reading = find_reading(format.reading.method);
    ASSERT_NE(reading, nullptr) << format.name;
    EXPECT_EQ(reading->open, format.reading.open) << format.name;
    const Json config = format.configuration({});
    if (config.contains("quant_method")) {
      EXPECT_EQ(config["quant_method"], format.reading.method);
    }
  }
  EXPECT_EQ(find_reading("fp8"), nullptr);
}

TEST(Format, GridsHoldWhatTheFormatStores) {
  const Format& gptq = find_format("gptq");
  EXPECT_EQ(gptq.grid({.bits = 3, .scales = ScaleStore::f32}).scales, ScaleStore::f16);
  EXPECT_THROW(gptq.grid({.bits = 5}), Error);
  EXPECT_THROW(gptq.grid({.group_size = 0}), Error);
}

std::map<std::string, bool> opens(const Grid& grid) {
  std::map<std::string, bool> verdicts;
  const std::vector<PlannedModule> modules = {{"m", Role::q, 64, 256, grid}};
  for (const ReaderVerdict& verdict : find_format("gptq").readers(modules, false)) {
    verdicts[verdict.reader] = verdict.opens;
    if (!verdict.opens) {
      EXPECT_NE(verdict.why, "") << verdict.reader;
    }
  }
  return verdicts;
}

TEST(Format, ReadersOfGptq) {
  using Verdicts = std::map<std::string, bool>;
  const Verdicts all = {
      {"vLLM", true}, {"SGLang", true}, {"Transformers", true}, {"GPTQModel", true}};
  EXPECT_EQ(opens({.bits = 4, .group_size = 128}), all);
  EXPECT_EQ(opens({.bits = 8, .group_size = -1}), all);
  Verdicts not_vllm = all;
  not_vllm["vLLM"] = false;
  EXPECT_EQ(opens({.bits = 3, .group_size = 128}), not_vllm);
  EXPECT_EQ(opens({.bits = 4, .group_size = 128, .symmetric = false}), not_vllm);
  EXPECT_EQ(opens({.bits = 4, .group_size = 256}), not_vllm);
  EXPECT_EQ(
      opens({.bits = 4, .group_size = 96}),
      (Verdicts{{"vLLM", false}, {"SGLang", true}, {"Transformers", false}, {"GPTQModel", false}}));
}

TEST(Format, GptqConfiguration) {
  QuantizationSummary summary;
  summary.modules = {{"m", Role::q, 64, 256, {.bits = 4, .group_size = 64}}};
  summary.method = "gptq";
  summary.damping = 0.02;
  summary.act_order = true;
  EXPECT_EQ(find_format("gptq").configuration(summary), Json::parse(R"({
      "quant_method": "gptq", "method": "gptq", "format": "gptq", "checkpoint_format": "gptq",
      "bits": 4, "group_size": 64, "desc_act": false, "sym": true, "lm_head": false,
      "pack_dtype": "int32",
      "meta": {"quantizer": ["halftone"], "solver": "gptq", "damp_percent": 0.02,
               "static_groups": true, "true_sequential": true}})"));
  summary.modules[0].grid.symmetric = false;
  EXPECT_EQ(find_format("gptq").configuration(summary)["checkpoint_format"], "gptq_v2");
  summary.sequential = false;
  EXPECT_EQ(find_format("gptq").configuration(summary)["meta"]["true_sequential"], false);
}

// What rounds each weight by itself has no damping, and no order to be true to.
TEST(Format, GptqConfigurationOfRoundedWeights) {
  QuantizationSummary summary;
  summary.modules = {{"m", Role::q, 64, 256, {.bits = 4, .group_size = 64}}};
  summary.method = "rtn";
  EXPECT_EQ(find_format("gptq").configuration(summary)["meta"],
            Json::parse(R"({"quantizer": ["halftone"], "solver": "rtn"})"));
}

// Runtimes that fuse q, k and v ask for "qkv_proj": it stays dense only when all three do.
TEST(Format, ModulesKeptDenseAreListedForGptq) {
  QuantizationSummary summary;
  for (const char* name : {"model.layers.1.self_attn.q_proj", "model.layers.1.self_attn.k_proj",
                           "model.layers.1.self_attn.v_proj", "model.layers.2.mlp.gate_proj"})
    summary.modules.push_back({.name = name, .skipped = true});
  const Json rules = find_format("gptq").configuration(summary)["dynamic"];
  EXPECT_EQ(rules.size(), 5u);
  EXPECT_TRUE(rules.contains("-:.*model\\.layers\\.1\\.self_attn\\.qkv_proj$"));
  EXPECT_TRUE(rules.contains("-:.*model\\.layers\\.2\\.mlp\\.gate_proj$"));
  EXPECT_FALSE(rules.contains("-:.*model\\.layers\\.2\\.mlp\\.gate_up_proj$"));
}

}  // namespace
}  // namespace halftone
