// What the doctor sees: values, labels, tokenizers, processors.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <fstream>
#include <iterator>

#include "apps/doctor_foreign.h"
#include "apps/doctor_machine.h"
#include "apps/doctor_model.h"
#include "apps/doctor_repair.h"
#include "apps/doctor_values.h"
#include "apps/quantize.h"
#include "apps/test_model_folder.h"
#include "base/error.h"

namespace halftone {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

ModelDiagnosis diagnose(const TestModelFolder& folder) {
  return diagnose_model(folder.model_path(), {.threads = 1, .quiet = true});
}

// Where it was written.
std::string quantize_tiny(const TestModelFolder& folder, bool lm_head) {
  QuantizeOptions options = folder.rounding("out", 16);
  options.lm_head = lm_head;
  quantize(*make_backend("cpu", {.threads = 1}), open_model(folder.model_path(), lm_head), options);
  return options.output;
}

const Finding* find(const ModelDiagnosis& diagnosis, const std::string& subject) {
  for (const Finding& finding : diagnosis.findings)
    if (finding.subject == subject) return &finding;
  return nullptr;
}

Json config_of(const TestModelFolder& folder) {
  return read_json_file(folder.model_path() + "/config.json");
}

TEST(Doctor, ADenseModelIsHealthy) {
  const TestModelFolder folder;
  const ModelDiagnosis diagnosis = diagnose(folder);
  EXPECT_TRUE(diagnosis.healthy());
  EXPECT_EQ(diagnosis.runtimes.size(), 7u);
  const std::string text = diagnosis_text(diagnosis);
  EXPECT_THAT(text, HasSubstr("Nothing is broken."));
  EXPECT_THAT(text, HasSubstr("llm-compressor"));  // what we do not write
  EXPECT_EQ(diagnosis_json(diagnosis)["runtimes"]["vLLM"]["hopper"]["opens"], "fast");
}

TEST(Doctor, NamesWeightsThatAreNotTheModels) {
  const TestModelFolder folder;
  EXPECT_THAT(diagnosis_text(diagnose(folder)), Not(HasSubstr("not read")));
  folder.write("model/model-00002-of-00002.safetensors", "half of another download");
  folder.write("model/notes.txt", "");
  const ModelDiagnosis diagnosis = diagnose(folder);
  EXPECT_TRUE(diagnosis.healthy());
  EXPECT_THAT(diagnosis_text(diagnosis),
              HasSubstr("also here, and not read: model-00002-of-00002.safetensors"));
}

TEST(Doctor, NamesTheTensorWithANaN) {
  const TestModelFolder folder;
  const OpenedModel model = folder.open();
  const ContainerEntry* entry = model.checkpoint->find("model.layers.1.mlp.up_proj.weight");
  ASSERT_NE(entry, nullptr);
  ASSERT_EQ(entry->type, "BF16");
  std::ifstream in(entry->file, std::ios::binary);
  std::string bytes((std::istreambuf_iterator<char>(in)), {});
  const size_t at = bytes.find(
      std::string(reinterpret_cast<const char*>(entry->bytes.data()), entry->bytes.size()));
  ASSERT_NE(at, std::string::npos);
  bytes[at + 6] = static_cast<char>(0xc0);  // the fourth value
  bytes[at + 7] = 0x7f;
  folder.write("model/model.safetensors", bytes);
  const ModelDiagnosis diagnosis = diagnose(folder);
  EXPECT_FALSE(diagnosis.healthy());
  ASSERT_NE(find(diagnosis, "values"), nullptr);
  EXPECT_THAT(find(diagnosis, "values")->text,
              HasSubstr("model.layers.1.mlp.up_proj.weight: NaN at [0, 3]"));
  EXPECT_EQ(diagnosis_json(diagnosis)["runtimes"]["vLLM"]["hopper"]["opens"], "wrong");
}

// Zero scales are worth a note only: they do not hide what is broken beside them.
TEST(Doctor, NamesOffsetsThatAreNoNumbersBehindZeroScales) {
  const TestModelFolder folder;
  QuantizeOptions options = folder.rounding("out", 32);
  options.format = "mlx";
  options.symmetric = false;
  options.skip = {"down_proj"};
  quantize(*make_backend("cpu", {.threads = 1}), folder.open(), options);
  const auto put_first = [&](const std::string& name, uint16_t value) {
    const OpenedModel model = open_model(options.output);
    const ContainerEntry* entry = model.checkpoint->find(name);
    ASSERT_NE(entry, nullptr) << name;
    std::ifstream in(entry->file, std::ios::binary);
    std::string bytes((std::istreambuf_iterator<char>(in)), {});
    const size_t at = bytes.find(
        std::string(reinterpret_cast<const char*>(entry->bytes.data()), entry->bytes.size()));
    ASSERT_NE(at, std::string::npos);
    std::memcpy(bytes.data() + at, &value, sizeof(value));
    std::ofstream(entry->file, std::ios::binary) << bytes;
  };
  const std::string module = "model.layers.1.mlp.up_proj";
  put_first(module + ".scales", 0);
  put_first(module + ".biases", 0x7fff);  // NaN in bf16 and in f16
  const ModelDiagnosis diagnosis = diagnose_model(options.output, {.threads = 1, .quiet = true});
  EXPECT_FALSE(diagnosis.healthy());
  EXPECT_THAT(diagnosis_text(diagnosis), HasSubstr(module));
}

TEST(Doctor, NamesTheStopTokenThatOneOfTwoFilesLacks) {
  const TestModelFolder folder;
  Json config = config_of(folder);
  config["eos_token_id"] = {1, 2};
  folder.write("model/config.json", config.dump());
  folder.write("model/generation_config.json", R"({"eos_token_id": 1})");
  EXPECT_THAT(diagnosis_text(diagnose(folder)), HasSubstr("config.json stops at 2"));
}

TEST(Doctor, ScalesAreCountedByModule) {
  const std::vector<Finding> findings =
      value_findings({{.name = "a", .scales = 64, .zero = 3},
                      {.name = "b", .scales = 64, .not_finite = 1, .denormal = 2}},
                     true);
  ASSERT_EQ(findings.size(), 2u);
  EXPECT_EQ(findings[0].health, Health::broken);
  EXPECT_EQ(findings[0].text, "b: 1 of 64 scales are NaN or infinite");
  EXPECT_EQ(findings[1].health, Health::note);
  EXPECT_EQ(findings[1].text, "a: 3 of 64 scales are zero; b: 2 of 64 scales are denormal");
  EXPECT_EQ(value_findings({}, true)[0].health, Health::good);
}

TEST(Doctor, ATokenizerThatIsTooLargeIsBroken) {
  const TestModelFolder folder;
  Json tokenizer = read_json_file(folder.model_path() + "/tokenizer.json");
  tokenizer["model"]["vocab"]["zz"] = 99999;
  folder.write("model/tokenizer.json", tokenizer.dump());
  const ModelDiagnosis diagnosis = diagnose(folder);
  EXPECT_FALSE(diagnosis.healthy());
  ASSERT_NE(find(diagnosis, "tokenizer"), nullptr);
  EXPECT_EQ(find(diagnosis, "tokenizer")->health, Health::broken);
}

TEST(Doctor, StopTokensThatDisagreeAreNoted) {
  const TestModelFolder folder;
  Json config = config_of(folder);
  config["eos_token_id"] = 2;
  folder.write("model/config.json", config.dump());
  folder.write("model/generation_config.json", R"({"eos_token_id": [3, 4]})");
  const ModelDiagnosis diagnosis = diagnose(folder);
  ASSERT_NE(find(diagnosis, "stop tokens"), nullptr);
  EXPECT_TRUE(diagnosis.healthy());
}

TEST(Doctor, AChatTemplateThatDoesNotParseIsBroken) {
  const TestModelFolder folder;
  folder.write("model/tokenizer_config.json", R"({"chat_template": "fine\n{% for"})");
  const ModelDiagnosis diagnosis = diagnose(folder);
  EXPECT_FALSE(diagnosis.healthy());
  ASSERT_NE(find(diagnosis, "chat template"), nullptr);
  EXPECT_EQ(find(diagnosis, "chat template")->health, Health::broken);
  EXPECT_THAT(find(diagnosis, "chat template")->text, HasSubstr("line 2"));
  folder.write("model/tokenizer_config.json", R"({"chat_template": "{{ messages }}"})");
  EXPECT_TRUE(diagnose(folder).healthy());
}

TEST(Doctor, OfAFamilyThatIsNotKnownNoRuntimeIsPromised) {
  const TestModelFolder folder;
  Json config = config_of(folder);
  config["model_type"] = "novel";
  folder.write("model/config.json", config.dump());
  const Json runtimes = diagnosis_json(diagnose(folder))["runtimes"];
  EXPECT_EQ(runtimes["vLLM"]["hopper"]["opens"], "unknown");
  EXPECT_THAT(runtimes["vLLM"]["hopper"]["why"].get<std::string>(),
              HasSubstr("novel is not known here"));
  EXPECT_EQ(runtimes["llama.cpp"]["cpu"]["opens"], "refuses");
}

TEST(Doctor, GoesOnWhereTheConfigurationDoesNotFit) {
  const TestModelFolder folder;
  Json config = config_of(folder);
  config["intermediate_size"] = config["intermediate_size"].get<int64_t>() * 2;
  folder.write("model/config.json", config.dump());
  const ModelDiagnosis diagnosis = diagnose(folder);
  EXPECT_FALSE(diagnosis.healthy());
  ASSERT_NE(find(diagnosis, "configuration"), nullptr);
  EXPECT_EQ(find(diagnosis, "configuration")->health, Health::broken);
  EXPECT_NE(find(diagnosis, "values"), nullptr);
  EXPECT_TRUE(diagnosis.runtimes.empty());  // none opens it, whatever its format
  EXPECT_THAT(diagnosis_text(diagnosis), HasSubstr("not told while"));
}

TEST(Doctor, AConfigurationThatTheTensorsDenyIsBroken) {
  const TestModelFolder folder;
  const std::string output = quantize_tiny(folder, false);
  Json config = read_json_file(output + "/config.json");
  config["quantization_config"]["bits"] = 8;  // quantize_config.json is right, and believed
  folder.write("out/config.json", config.dump());
  const ModelDiagnosis diagnosis = diagnose_model(output, {.threads = 1, .quiet = true});
  EXPECT_FALSE(diagnosis.healthy());
  EXPECT_THAT(diagnosis_text(diagnosis), HasSubstr("bits (4, not 8)"));
  const Json runtimes = diagnosis_json(diagnosis)["runtimes"];
  EXPECT_EQ(runtimes["SGLang"]["hopper"]["opens"], "refuses");
  EXPECT_EQ(runtimes["GPTQModel"]["hopper"]["opens"], "slow");
}

// The label says that all zeros are the middle, the tensors hold others.
TEST(Doctor, ALabelThatHidesZerosIsBroken) {
  const auto relabelled_tiny = [](const char* format, const char* key, bool value) {
    const TestModelFolder folder;
    QuantizeOptions options = folder.rounding("out", 16);
    options.format = format;
    options.symmetric = false;
    quantize(*make_backend("cpu", {.threads = 1}), folder.open(), options);
    EXPECT_TRUE(diagnose_model(options.output, {.threads = 1, .quiet = true}).healthy());
    for (const char* name : {"config.json", "quantize_config.json", "quant_config.json"}) {
      const std::string path = options.output + "/" + name;
      if (!std::filesystem::exists(path)) continue;
      Json config = read_json_file(path);
      Json& label = config.contains("quantization_config") ? config["quantization_config"] : config;
      label[key] = value;
      folder.write(std::string("out/") + name, config.dump());
    }
    return diagnose_model(options.output, {.threads = 1, .quiet = true});
  };
  const auto expect_broken = [](const ModelDiagnosis& diagnosis, const char* label) {
    EXPECT_FALSE(diagnosis.healthy());
    const std::string text = diagnosis_json(diagnosis).dump();
    EXPECT_THAT(text, HasSubstr(label));
    EXPECT_THAT(text, HasSubstr("and 14 of 14 linears store other zeros than the middle "
                                "(model.layers.0.mlp.down_proj, "));
    EXPECT_THAT(text, HasSubstr("instead of 8 at output 0, group"));
    EXPECT_EQ(diagnosis_json(diagnosis)["runtimes"]["GPTQModel"]["hopper"]["opens"], "wrong");
  };
  for (const char* format : {"gptq", "gptq_v2"})
    expect_broken(relabelled_tiny(format, "sym", true), R"(says \"sym\": true)");
  expect_broken(relabelled_tiny("awq", "zero_point", false), R"(says \"zero_point\": false)");
}

TEST(Doctor, AQuantizedHeadCountsForTheRuntimes) {
  const TestModelFolder folder;
  const ModelDiagnosis diagnosis =
      diagnose_model(quantize_tiny(folder, true), {.threads = 1, .quiet = true});
  EXPECT_TRUE(diagnosis.healthy());
  EXPECT_THAT(find(diagnosis, "configuration")->text, HasSubstr("14 of 14 linears quantized, and"));
  const Json runtimes = diagnosis_json(diagnosis)["runtimes"];
  EXPECT_THAT(runtimes["Transformers"]["hopper"]["why"].get<std::string>(),
              HasSubstr("a quantized head"));
  EXPECT_EQ(runtimes["GPTQModel"]["hopper"]["opens"], "slow");  // groups of 16
}

TEST(Doctor, Fp8IsNamedWithWhoWritesIt) {
  const TestModelFolder folder;
  Json config = config_of(folder);
  config["quantization_config"] = {{"quant_method", "fp8"}, {"activation_scheme", "dynamic"}};
  folder.write("model/config.json", config.dump());
  const ModelDiagnosis diagnosis = diagnose(folder);
  EXPECT_TRUE(diagnosis.healthy());
  ASSERT_NE(find(diagnosis, "quantization"), nullptr);
  EXPECT_THAT(find(diagnosis, "quantization")->text, HasSubstr("FP8"));
  EXPECT_EQ(diagnosis_json(diagnosis)["runtimes"]["vLLM"]["ada"]["opens"], "fast");
}

TEST(Doctor, CompressedTensorsOfQuantizedInputsAreForeign) {
  const Json int8 = Json::parse(R"({"config_groups": {"group_0": {
      "weights": {"num_bits": 8, "type": "int"}, "input_activations": {"num_bits": 8}}}})");
  EXPECT_EQ(foreign_quantization({int8, "config.json", "compressed-tensors", ""})->format, "int8");
  const Json ours = Json::parse(R"({"config_groups": {"group_0": {
      "weights": {"num_bits": 4, "type": "int"}, "input_activations": null}}})");
  EXPECT_FALSE(foreign_quantization({ours, "config.json", "compressed-tensors", ""}));
  EXPECT_EQ(foreign_quantization({Json::object(), "config.json", "bitsandbytes", ""})->format, "");
}

// One value changes, every other byte stays: order, blanks, what we do not know.
TEST(Doctor, RelabelsWithoutTouchingTheRest) {
  const std::string text =
      "{\n   \"quant_method\":\"gptq\", \"odd\": 1.50,\n\t\"checkpoint_format\" : \"gptq\",\n"
      "\"format\":\"gptq\", \"bits\": 4}";
  EXPECT_EQ(relabelled(text, "", GptqVersion::v2, "f"),
            "{\n   \"quant_method\":\"gptq\", \"odd\": 1.50,\n\t\"checkpoint_format\" : "
            "\"gptq_v2\",\n\"format\":\"gptq_v2\", \"bits\": 4}");
  EXPECT_EQ(relabelled(R"({"bits": 4, "quant_method": "gptq"})", "", GptqVersion::v2, "f"),
            R"({"checkpoint_format": "gptq_v2", "bits": 4, "quant_method": "gptq"})");
  // Elsewhere in config.json the same words mean something else.
  const std::string nested =
      R"({"format": "gptq", "quantization_config": {"bits": 4, "checkpoint_format": "gptq_v2"}})";
  EXPECT_EQ(Json::parse(relabelled(nested, "quantization_config", GptqVersion::v1, "f")),
            Json::parse(R"({"format": "gptq",
                            "quantization_config": {"bits": 4, "checkpoint_format": "gptq"}})"));
  EXPECT_EQ(relabelled(R"({"model_type": "llama"})", "quantization_config", GptqVersion::v2, "f"),
            R"({"model_type": "llama"})");
}

TEST(Doctor, ReadsProcessorFlags) {
  const ProcessorFacts facts = read_cpuinfo(
      "processor\t: 0\nmodel name\t: Some CPU\n"
      "flags\t\t: fpu avx2 fma avx512f avx512bw avx512dq avx512vl avx512_vnni\n\nprocessor\t: 1\n");
  EXPECT_EQ(facts.name, "Some CPU");
  EXPECT_TRUE(facts.avx2);
  EXPECT_TRUE(facts.avx512);
  EXPECT_TRUE(facts.vnni);
  EXPECT_FALSE(facts.avx512_bf16);
  EXPECT_FALSE(facts.amx);
}

TEST(Doctor, TheMachinesTableHasWhatItMeans) {
  MachineFacts facts;
  facts.processor.name = "Some CPU";
  facts.processors = facts.usable_processors = 4;
  facts.instructions = "avx2";
  facts.memory = int64_t{64} << 30;
  facts.memory_limit = int64_t{8} << 30;
  facts.gpus.gpus.push_back({"NVIDIA H200", 9, 0, int64_t{140} << 30, ""});
  facts.gpus.usable = facts.gpus.has_driver = true;
  const std::string text = machine_text(facts);
  EXPECT_THAT(text, HasSubstr("container's limit"));
  EXPECT_THAT(text, HasSubstr("Hopper"));
  EXPECT_THAT(text, HasSubstr("gptq (2, 3, 4, 8)"));
  EXPECT_THAT(text, HasSubstr("awq (4)"));
  EXPECT_EQ(machine_json(facts)["gpus"][0]["compute_capability"], "9.0");
  EXPECT_EQ(machine_json(facts)["memory_limit_bytes"], int64_t{8} << 30);
}

TEST(Doctor, LinesAreWrappedUnderTheirText) {
  EXPECT_EQ(wrapped("lead  ", "one two"), "lead  one two\n");
  const std::string text = wrapped("ab  ", std::string(70, 'x') + " ✗✗✗✗✗ more");
  EXPECT_EQ(text, "ab  " + std::string(70, 'x') + " ✗✗✗✗✗\n    more\n");
}

}  // namespace
}  // namespace halftone
