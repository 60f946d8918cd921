#include "format/gptq_source.h"

#include <gtest/gtest.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <map>

#include "base/error.h"
#include "base/temporary_directory.h"
#include "format/gptq.h"
#include "format/open_weights.h"
#include "io/safetensors.h"
#include "tensor/allocator.h"

namespace halftone {
namespace {

constexpr const char* kModule = "model.layers.0.mlp.down_proj";

std::vector<float> read_all(const WeightSource& source, const std::string& name) {
  const StoredTensor* stored = source.find(name);
  EXPECT_NE(stored, nullptr);
  HostAllocator host;
  const Tensor out(host, stored->rows, stored->cols, DType::f32);
  // In two calls, as rows are asked for in ranges.
  source.read(name, 0, 5, out.view().rows_of(0, 5));
  source.read(name, 5, stored->rows, out.view().rows_of(5, stored->rows));
  return {out.row<float>(0), out.row<float>(0) + stored->rows * stored->cols};
}

// Layers packed by an independent program (tools/make_gptq_golden.py).
void check_golden(const std::string& name, bool act_order, const std::string& quantization) {
  const std::string directory = std::string(HALFTONE_SOURCE_DIR) + "/tests/data/" + name;
  const Checkpoint checkpoint = Checkpoint::open(directory);
  const OpenedWeights opened = open_weights(checkpoint);
  EXPECT_EQ(opened.quantization, quantization);
  const std::string weight = std::string(kModule) + ".weight";
  ASSERT_EQ(opened.source->tensors().size(), 2u);  // the layer and a norm
  EXPECT_EQ(opened.source->find("model.norm.weight")->encoding, "f16");

  const SafetensorsFile expected_file(directory + "/expected.safetensors");
  std::vector<float> expected(32 * 64);
  ASSERT_EQ(expected_file.entries().at(0).bytes.size(), expected.size() * sizeof(float));
  std::memcpy(expected.data(), expected_file.entries()[0].bytes.data(),
              expected.size() * sizeof(float));
  EXPECT_EQ(read_all(*opened.source, weight), expected);

  const auto matrix = opened.source->quantized(weight);
  ASSERT_TRUE(matrix.has_value());
  EXPECT_EQ(matrix->group_of.empty(), !act_order);
  for (int64_t row = 0; row < 32; ++row) {
    for (int64_t col = 0; col < 64; ++col) {
      ASSERT_EQ(matrix->value(row, col), expected[static_cast<size_t>(row * 64 + col)]);
    }
  }
  EXPECT_FALSE(opened.source->mapped(weight).has_value());
  EXPECT_FALSE(opened.source->quantized("model.norm.weight").has_value());
}

TEST(GptqSource, ReadsAnotherPackersFourBitsWithActOrder) {
  check_golden("gptq_4bit_act_order", true, "GPTQ 4 bits, groups of 16, symmetric, act-order");
}

TEST(GptqSource, ReadsAnotherPackersThreeBitsAsymmetric) {
  check_golden("gptq_3bit_asymmetric", false, "GPTQ 3 bits, groups of 16, asymmetric");
}

// A checkpoint of one packed layer, 32 outputs of 64 inputs, whose parts a test may spoil.
struct TestCheckpoint {
  struct Part {
    std::string type;
    std::vector<int64_t> shape;
    std::vector<std::byte> data;
  };
  std::map<std::string, Part> parts;
  std::string config = R"({"bits": 4, "group_size": 16, "sym": true, "desc_act": false})";
  std::string config_name = "quantize_config.json";
  QuantizedMatrix matrix;

  TestCheckpoint() {
    matrix.grid = {.bits = 4, .group_size = 16};
    matrix.rows = 32;
    matrix.cols = 64;
    for (int i = 0; i < 32 * 64; ++i) matrix.codes.push_back(static_cast<uint8_t>(i * 7 % 16));
    for (int i = 0; i < 32 * 4; ++i) matrix.scales.push_back(static_cast<float>(i) / 64);
    matrix.zeros.assign(matrix.scales.size(), 8);
    for (PackedTensor& packed : pack_gptq(kModule, matrix, GptqVersion::v1))
      parts[packed.name] = {packed.type, packed.shape, packed.data};
    parts["model.norm.weight"] = {"F32", {2}, std::vector<std::byte>(8)};
  }
  Part& part(const std::string& suffix) { return parts.at(kModule + suffix); }

  std::string write(const TemporaryDirectory& place) const {
    std::ofstream(place.file("config.json")) << R"({"model_type": "llama"})";
    if (!config.empty()) std::ofstream(place.file(config_name)) << config;
    std::vector<TensorPlan> plan;
    for (const auto& [name, part] : parts) {
      plan.push_back({name, part.type, part.shape, static_cast<int64_t>(part.data.size())});
    }
    SafetensorsWriter writer(place.path(), plan);
    for (const auto& [name, part] : parts) writer.write(name, part.data);
    writer.finish();
    return place.path();
  }
};

QuantizedMatrix reopened(const TestCheckpoint& model) {
  const TemporaryDirectory place;
  const Checkpoint checkpoint = Checkpoint::open(model.write(place));
  const auto matrix = open_weights(checkpoint).source->quantized(std::string(kModule) + ".weight");
  EXPECT_TRUE(matrix.has_value());
  return matrix.value_or(QuantizedMatrix());
}

TEST(GptqSource, ReadsWhatWePack) {
  const TestCheckpoint model;
  EXPECT_EQ(reopened(model), model.matrix);

  const TemporaryDirectory place;
  const Checkpoint checkpoint = Checkpoint::open(model.write(place));
  const auto source = open_weights(checkpoint).source;
  const StoredTensor& stored = *source->find(std::string(kModule) + ".weight");
  EXPECT_EQ(stored.rows, 32);
  EXPECT_EQ(stored.cols, 64);
  EXPECT_EQ(stored.encoding, "gptq 4-bit g16 sym");
  EXPECT_TRUE(stored.quantized);
  EXPECT_EQ(stored.bytes, 1024 + 64 + 256 + 256);
  EXPECT_EQ(stored.bits_per_weight(), 5);  // 4, and 16 for each group of 16
}

TEST(GptqSource, OtherSpellingsOfTheConfiguration) {
  for (const char* config : {
           R"({"wbits": 4, "q_group_size": 16, "zero_point": false})",
           R"({"w_bit": 4, "group_size": 16, "sym": true, "version": "gptq"})",
           R"({"bits": 4, "group_size": 16, "sym": true, "format": "gptq", "damp_percent": null})",
       }) {
    TestCheckpoint model;
    model.config = config;
    EXPECT_EQ(reopened(model), model.matrix) << config;
  }
  TestCheckpoint model;
  model.config_name = "quant_config.json";
  EXPECT_EQ(reopened(model), model.matrix);
}

TEST(GptqSource, GroupIndexMayBeAbsentWithoutActOrder) {
  TestCheckpoint model;
  model.parts.erase(std::string(kModule) + ".g_idx");
  EXPECT_EQ(reopened(model), model.matrix);
}

// Qwen3.5-27B-GPTQ-Int4 was published so: zeros of 8 under the label of v1.
TEST(GptqSource, SymmetricZerosThatBelieTheirLabelAreReadRight) {
  TestCheckpoint as_v2;
  for (std::byte& byte : as_v2.part(".qzeros").data) byte = std::byte{0x88};
  EXPECT_EQ(reopened(as_v2), as_v2.matrix);
  TestCheckpoint as_v1;
  as_v1.config = R"({"bits": 4, "group_size": 16, "sym": true, "checkpoint_format": "gptq_v2"})";
  EXPECT_EQ(reopened(as_v1), as_v1.matrix);
}

// GPTQModel's rules: negatives first, then the first match, from the start of the name.
TEST(GptqSource, RulesForSingleModules) {
  TestCheckpoint model;
  model.config = R"({"bits": 8, "group_size": 128, "sym": true, "dynamic": {
      "layers": {"bits": 2}, "-:.*lm_head": {}, "+:.*down_proj": {"bits": 4, "group_size": 16},
      ".*proj": {"bits": 3}}})";
  EXPECT_EQ(reopened(model), model.matrix);
}

TEST(GptqSource, BrokenCheckpointsAreRefusedByName) {
  struct Case {
    const char* message;
    std::function<void(TestCheckpoint&)> spoil;
  };
  const auto ints = [](std::vector<int32_t> values) {
    std::vector<std::byte> data(values.size() * 4);
    std::memcpy(data.data(), values.data(), data.size());
    return data;
  };
  const Case cases[] = {
      {".scales is missing", [](auto& m) { m.parts.erase(std::string(kModule) + ".scales"); }},
      {".qzeros is missing", [](auto& m) { m.parts.erase(std::string(kModule) + ".qzeros"); }},
      {".g_idx is missing",
       [](auto& m) {
         m.config = R"({"bits": 4, "group_size": 16, "sym": true, "desc_act": true})";
         m.parts.erase(std::string(kModule) + ".g_idx");
       }},
      {"qweight: type F32, expected I32", [](auto& m) { m.part(".qweight").type = "F32"; }},
      {"g_idx: type F32, expected I32", [](auto& m) { m.part(".g_idx").type = "F32"; }},
      {"scales: type I16, expected F32", [](auto& m) { m.part(".scales").type = "I16"; }},
      {"qweight: shape [256], expected", [](auto& m) { m.part(".qweight").shape = {256}; }},
      {"scales: shape [4, 32], expected [2, 32] (4 bits, group_size 32)",
       [](auto& m) { m.config = R"({"bits": 4, "group_size": 32, "sym": true})"; }},
      {"qweight: shape [8, 32], expected [inputs",  // 8 words are not a whole number of 3-bit codes
       [](auto& m) { m.config = R"({"bits": 3, "group_size": 16, "sym": true})"; }},
      {"expected [2, 32] (8 bits, group_size 16)",
       [](auto& m) { m.config = R"({"bits": 8, "group_size": 16, "sym": true})"; }},
      {"g_idx: shape [63]",
       [&](auto& m) {
         m.part(".g_idx") = {"I32", {63}, ints(std::vector<int32_t>(63))};
       }},
      {"g_idx: input 0 is in group 4, expected 0 to 3",
       [&](auto& m) { m.part(".g_idx").data = ints(std::vector<int32_t>(64, 4)); }},
      {"input 0 is in group -1",
       [&](auto& m) { m.part(".g_idx").data = ints(std::vector<int32_t>(64, -1)); }},
      {"is there dense and packed",
       [](auto& m) {
         m.parts[std::string(kModule) + ".weight"] = {"F32", {1, 1}, std::vector<std::byte>(4)};
       }},
      {"neither quantize_config.json nor config.json", [](auto& m) { m.config = ""; }},
      {"bits 5, expected 2, 3, 4 or 8",
       [](auto& m) { m.config = R"({"bits": 5, "group_size": 16})"; }},
      {"bits: missing", [](auto& m) { m.config = R"({"group_size": 16})"; }},
      {"group_size 0", [](auto& m) { m.config = R"({"bits": 4, "group_size": 0})"; }},
      {"group_size", [](auto& m) { m.config = R"({"bits": 4, "group_size": -7})"; }},
      {"quantized as hqq, which cannot be read",
       [](auto& m) { m.config = R"({"quant_method": "hqq", "bits": 4, "group_size": 16})"; }},
      {"GPTQ packed as bitblas, expected gptq",
       [](auto& m) {
         m.config = R"({"bits": 4, "group_size": 16, "checkpoint_format": "bitblas"})";
       }},
      {"Marlin",
       [](auto& m) { m.config = R"({"bits": 4, "group_size": 16, "is_marlin_format": true})"; }},
      {"pack_dtype int16",
       [](auto& m) { m.config = R"({"bits": 4, "group_size": 16, "pack_dtype": "int16"})"; }},
      {"is packed, but the rule '-:.*down' says that it is dense",
       [](auto& m) { m.config = R"({"bits": 4, "group_size": 16, "dynamic": {"-:.*down": {}}})"; }},
      {"'+:(': not a regular expression",
       [](auto& m) { m.config = R"({"bits": 4, "group_size": 16, "dynamic": {"+:(": {}}})"; }},
      {"+:.*down: bits 5",
       [](auto& m) {
         m.config = R"({"bits": 4, "group_size": 16, "dynamic": {"+:.*down": {"bits": 5}}})";
       }},
      {"gave up on",
       [](auto& m) {
         m.config = R"({"bits": 4, "group_size": 16, "dynamic": {"(([a-z0-9_.]*)*)*[!?]": {}}})";
       }},
      {"no tensor is packed",
       [](auto& m) {
         std::erase_if(m.parts, [](const auto& part) { return part.first != "model.norm.weight"; });
       }},
  };
  for (const Case& bad : cases) {
    TestCheckpoint model;
    bad.spoil(model);
    const TemporaryDirectory place;
    const Checkpoint checkpoint = Checkpoint::open(model.write(place));
    try {
      open_weights(checkpoint);
      ADD_FAILURE() << bad.message;
    } catch (const Error& error) {
      EXPECT_EQ(error.exit(), Exit::bad_input);
      EXPECT_NE(std::string(error.what()).find(bad.message), std::string::npos) << error.what();
    }
  }
}

TEST(GptqSource, OtherMethodsInConfigJsonAreNamed) {
  TestCheckpoint model;
  model.config_name = "config.json";
  model.config = R"({"quantization_config": {"quant_method": "fp8", "format": "float-quantized"}})";
  const TemporaryDirectory place;
  const Checkpoint checkpoint = Checkpoint::open(model.write(place));
  try {
    open_weights(checkpoint);
    ADD_FAILURE();
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("fp8 (float-quantized)"), std::string::npos)
        << error.what();
  }
}

}  // namespace
}  // namespace halftone
