// Verdicts that users would be let down by if they were wrong.
#include "format/runtimes.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace halftone {
namespace {

using ::testing::HasSubstr;

CheckpointFacts facts(std::string format, Grid grid = {}) {
  CheckpointFacts facts;
  facts.format = std::move(format);
  for (const auto& [name, role] :
       {std::pair<const char*, Role>{"q_proj", Role::q}, {"k_proj", Role::k}, {"v_proj", Role::v}})
    facts.modules.push_back(
        {std::string("model.layers.0.self_attn.") + name, role, 128, 128, grid, false});
  return facts;
}

const RuntimeRow& row(const std::vector<RuntimeRow>& table, std::string_view runtime) {
  for (const RuntimeRow& row : table)
    if (row.runtime == runtime) return row;
  throw std::out_of_range(std::string(runtime));
}

Opening opening(const CheckpointFacts& about, std::string_view runtime, Processor processor) {
  return row(runtime_table(about), runtime).on(processor).opening;
}

TEST(Runtimes, SymmetricFourBitGptqIsFastWhereMarlinIs) {
  const CheckpointFacts about = facts("gptq");
  EXPECT_EQ(opening(about, "vLLM", Processor::turing), Opening::fast);
  EXPECT_EQ(opening(about, "SGLang", Processor::turing), Opening::slow);  // its Marlin: Ampere
  EXPECT_EQ(opening(about, "SGLang", Processor::hopper), Opening::fast);
  EXPECT_EQ(opening(about, "GPTQModel", Processor::cpu), Opening::fast);
  EXPECT_EQ(opening(about, "vLLM", Processor::apple), Opening::absent);
  EXPECT_EQ(opening(about, "llama.cpp", Processor::cpu), Opening::refuses);
  EXPECT_EQ(opening(about, "MLX", Processor::apple), Opening::refuses);  // g_idx
}

TEST(Runtimes, WhatVllmDroppedIsRefusedWithItsReason) {
  const RuntimeRow vllm =
      row(runtime_table(facts("gptq_v2", {.bits = 4, .symmetric = false})), "vLLM");
  EXPECT_EQ(vllm.on(Processor::hopper).opening, Opening::refuses);
  EXPECT_THAT(vllm.on(Processor::hopper).why, HasSubstr("asymmetric"));
  EXPECT_EQ(opening(facts("gptq", {.bits = 3}), "vLLM", Processor::ada), Opening::refuses);
  EXPECT_EQ(opening(facts("compressed-tensors", {.bits = 3}), "vLLM", Processor::ada),
            Opening::slow);
  EXPECT_EQ(opening(facts("gptq", {.bits = 8}), "vLLM", Processor::cpu), Opening::refuses);
}

TEST(Runtimes, AWrongLabelIsWrongWhereZerosAreRead) {
  CheckpointFacts about = facts("gptq");
  about.wrong_label = true;
  EXPECT_EQ(opening(about, "vLLM", Processor::hopper), Opening::fast);  // zeros are not looked at
  EXPECT_EQ(opening(about, "SGLang", Processor::hopper), Opening::fast);
  EXPECT_EQ(opening(about, "SGLang", Processor::turing), Opening::wrong);
  EXPECT_EQ(opening(about, "GPTQModel", Processor::hopper), Opening::wrong);
  EXPECT_EQ(opening(about, "Transformers", Processor::cpu), Opening::wrong);
}

TEST(Runtimes, FusedModulesThatDisagreeAreRefused) {
  CheckpointFacts about = facts("gptq");
  about.modules[1].grid.bits = 8;
  const RuntimeRow vllm = row(runtime_table(about), "vLLM");
  EXPECT_EQ(vllm.on(Processor::ampere).opening, Opening::refuses);
  EXPECT_THAT(vllm.on(Processor::ampere).why, HasSubstr("k_proj"));
}

TEST(Runtimes, ActOrderCosts) {
  CheckpointFacts about = facts("gptq");
  about.act_order = true;
  EXPECT_EQ(opening(about, "vLLM", Processor::hopper), Opening::slow);
}

TEST(Runtimes, GgufIsLlamaCppsAndMlxApples) {
  EXPECT_EQ(opening(facts("gguf"), "llama.cpp", Processor::cpu), Opening::fast);
  EXPECT_EQ(opening(facts("gguf"), "vLLM", Processor::ampere), Opening::slow);
  EXPECT_EQ(opening(facts("mlx"), "MLX", Processor::apple), Opening::fast);
  EXPECT_EQ(opening(facts("mlx"), "vLLM", Processor::hopper), Opening::refuses);
  EXPECT_EQ(opening(facts("awq", {.symmetric = false}), "MLX", Processor::apple), Opening::fast);
}

TEST(Runtimes, PartsOfAGgufAreLlamaCppsAlone) {
  CheckpointFacts about = facts("gguf");
  about.in_parts = true;
  EXPECT_EQ(opening(about, "llama.cpp", Processor::cpu), Opening::fast);
  for (const char* runtime : {"Ollama", "vLLM", "SGLang", "Transformers"}) {
    const RuntimeCell cell = row(runtime_table(about), runtime).on(Processor::hopper);
    EXPECT_EQ(cell.opening, Opening::refuses) << runtime;
    EXPECT_THAT(cell.why, HasSubstr("llama-gguf-split --merge")) << runtime;
  }
  // The list that quantize and convert print.
  for (const ReaderVerdict& verdict : find_format("gguf").readers(about.modules, true))
    EXPECT_EQ(verdict.opens, verdict.reader == "llama.cpp") << verdict.reader;
  for (const ReaderVerdict& verdict : find_format("gguf").readers(about.modules, false))
    EXPECT_TRUE(verdict.opens) << verdict.reader;
}

TEST(Runtimes, AQuantizedHeadIsNotForAll) {
  CheckpointFacts about = facts("gptq");
  about.modules.push_back({"lm_head", Role::head, 128, 128, {}, false});
  EXPECT_EQ(opening(about, "vLLM", Processor::hopper), Opening::fast);
  EXPECT_EQ(opening(about, "GPTQModel", Processor::hopper), Opening::fast);
  const RuntimeCell cell = row(runtime_table(about), "Transformers").on(Processor::hopper);
  EXPECT_EQ(cell.opening, Opening::refuses);
  EXPECT_THAT(cell.why, HasSubstr("a quantized head"));
  about.format = "compressed-tensors";
  EXPECT_EQ(opening(about, "SGLang", Processor::hopper), Opening::refuses);
}

TEST(Runtimes, CodesAreKeptWhereTheOtherFormatHasTheGrid) {
  const auto why = [](const CheckpointFacts& about, std::string_view runtime) {
    return row(runtime_table(about), runtime).on(Processor::cpu).why;
  };
  const Grid asymmetric{.bits = 4, .group_size = 64, .symmetric = false};
  EXPECT_THAT(why(facts("gptq"), "llama.cpp"), HasSubstr("gguf keeps the codes"));
  EXPECT_THAT(why(facts("awq"), "Ollama"), HasSubstr("gguf keeps the codes"));
  EXPECT_THAT(why(facts("mlx", asymmetric), "Ollama"), HasSubstr("gguf keeps the codes"));
  // Scale times zero would be rounded.
  EXPECT_THAT(why(facts("awq", asymmetric), "llama.cpp"), HasSubstr("--requantize"));
  EXPECT_THAT(why(facts("gptq_v2", asymmetric), "Ollama"), HasSubstr("--requantize"));
  EXPECT_THAT(why(facts("gptq", {.bits = 3}), "Ollama"), HasSubstr("--requantize"));
  EXPECT_THAT(why(facts("gptq", {.group_size = 48}), "Ollama"), HasSubstr("--requantize"));
  CheckpointFacts scattered = facts("gptq");
  scattered.act_order = true;
  EXPECT_THAT(why(scattered, "llama.cpp"), HasSubstr("--requantize"));
  // vLLM reads in another format what it refuses as GPTQ.
  EXPECT_THAT(why(facts("gptq_v2", asymmetric), "vLLM"),
              HasSubstr("halftone convert --format compressed-tensors keeps the codes"));
  EXPECT_THAT(why(facts("gptq", {.bits = 3, .symmetric = false}), "vLLM"),
              ::testing::Not(HasSubstr("halftone convert")));
}

TEST(Runtimes, WhatIsBrokenOpensNowhereWell) {
  CheckpointFacts about = facts("gptq");
  about.broken = "not every value is a number";
  EXPECT_EQ(opening(about, "vLLM", Processor::hopper), Opening::wrong);
  EXPECT_EQ(opening(about, "GPTQModel", Processor::cpu), Opening::wrong);
  EXPECT_EQ(opening(about, "Ollama", Processor::cpu), Opening::refuses);
}

TEST(Runtimes, AConfigurationThatTheTensorsDenyIsGptqmodelsAlone) {
  CheckpointFacts about = facts("gptq");
  about.denied = "config.json says otherwise";
  for (const char* runtime : {"vLLM", "SGLang", "Transformers"})
    EXPECT_EQ(opening(about, runtime, Processor::hopper), Opening::refuses) << runtime;
  EXPECT_EQ(opening(about, "GPTQModel", Processor::hopper), Opening::fast);
}

TEST(Runtimes, FormatsOfOthersGoByGeneration) {
  EXPECT_EQ(opening(facts("fp8"), "vLLM", Processor::ampere), Opening::slow);
  EXPECT_EQ(opening(facts("fp8"), "vLLM", Processor::ada), Opening::fast);
  EXPECT_EQ(opening(facts("int8"), "vLLM", Processor::blackwell), Opening::refuses);
  EXPECT_EQ(opening(facts("nvfp4"), "SGLang", Processor::hopper), Opening::refuses);
  EXPECT_TRUE(runtime_table(facts("aqlm")).empty());
}

TEST(Runtimes, EveryRefusalAndEveryDetourHasAReason) {
  for (const char* format : {"gptq", "gptq_v2", "awq", "compressed-tensors", "mlx", "gguf",
                             "safetensors", "fp8", "int8", "nvfp4"})
    for (const RuntimeRow& row : runtime_table(facts(format)))
      for (const RuntimeCell& cell : row.cells)
        EXPECT_TRUE(cell.opening == Opening::fast || cell.opening == Opening::absent ||
                    !cell.why.empty())
            << format << " " << row.runtime;
}

TEST(Runtimes, CapabilitiesAreGenerations) {
  EXPECT_EQ(processor_of(7, 0), std::nullopt);
  EXPECT_EQ(processor_of(7, 5), Processor::turing);
  EXPECT_EQ(processor_of(8, 6), Processor::ampere);
  EXPECT_EQ(processor_of(8, 9), Processor::ada);
  EXPECT_EQ(processor_of(9, 0), Processor::hopper);
  EXPECT_EQ(processor_of(12, 0), Processor::blackwell);
}

}  // namespace
}  // namespace halftone
