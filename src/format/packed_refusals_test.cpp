// AWQ, compressed-tensors and MLX checkpoints that are broken, or packed in ways that are not read:
// each is refused, and what is wrong is named.
#include <gtest/gtest.h>

#include <cstring>
#include <fstream>
#include <functional>
#include <map>

#include "base/error.h"
#include "base/temporary_directory.h"
#include "format/format.h"
#include "format/open_weights.h"

namespace halftone {
namespace {

constexpr const char* kModule = "model.layers.0.mlp.down_proj";

// A checkpoint of one packed layer, 32 outputs of 64 inputs, whose parts a test may spoil.
struct TestCheckpoint {
  std::map<std::string, PackedTensor> parts;
  Json config = {{"model_type", "llama"}};
  QuantizedMatrix matrix;
  std::string key;

  explicit TestCheckpoint(std::string_view name, bool symmetric = true) {
    const Format& format = find_format(name);
    matrix.grid = format.grid({.bits = 4, .group_size = 32, .symmetric = symmetric});
    matrix.rows = 32;
    matrix.cols = 64;
    for (int i = 0; i < 32 * 64; ++i) matrix.codes.push_back(static_cast<uint8_t>(i * 7 % 16));
    for (int i = 0; i < 32 * 2; ++i) {
      matrix.scales.push_back(static_cast<float>(1 + i) / 64);
      matrix.zeros.push_back(static_cast<uint8_t>(symmetric ? 8 : i % 16));
    }
    for (PackedTensor& packed : format.pack(kModule, matrix)) parts[packed.name] = packed;
    key = std::string(format.config_keys[0]);
    config[key] = format.configuration(
        {.modules = {{kModule, Role::down, matrix.rows, matrix.cols, matrix.grid}}});
  }
  PackedTensor& part(const std::string& suffix) { return parts.at(kModule + suffix); }
  Json& quantization() { return config[key]; }
  Json& group() { return quantization()["config_groups"]["group_0"]; }
  void drop(const std::string& suffix) { parts.erase(kModule + suffix); }
  void reshape(const std::string& suffix, std::vector<int64_t> shape) {
    int64_t values = 1;
    for (const int64_t size : shape) values *= size;
    PackedTensor& tensor = part(suffix);
    tensor.shape = std::move(shape);
    tensor.data.resize(static_cast<size_t>(values) * (tensor.type == "F16" ? 2 : 4));
  }

  std::optional<QuantizedMatrix> open() const {
    const TemporaryDirectory place;
    std::ofstream(place.file("config.json")) << config;
    std::vector<TensorPlan> plan;
    for (const auto& [name, part] : parts)
      plan.push_back({name, part.type, part.shape, static_cast<int64_t>(part.data.size())});
    SafetensorsWriter writer(place.path(), plan);
    for (const auto& [name, part] : parts) writer.write(name, part.data);
    writer.finish();
    const Checkpoint checkpoint = Checkpoint::open(place.path());
    return open_weights(checkpoint).source->quantized(std::string(kModule) + ".weight");
  }
};

struct Case {
  const char* message;
  std::function<void(TestCheckpoint&)> spoil;
};

void check(const char* format, const std::vector<Case>& cases, bool symmetric = true) {
  EXPECT_EQ(TestCheckpoint(format, symmetric).open(), TestCheckpoint(format, symmetric).matrix);
  for (const Case& bad : cases) {
    TestCheckpoint model(format, symmetric);
    bad.spoil(model);
    try {
      model.open();
      ADD_FAILURE() << format << ": " << bad.message;
    } catch (const Error& error) {
      EXPECT_EQ(error.exit(), Exit::bad_input) << error.what();
      EXPECT_NE(std::string(error.what()).find(bad.message), std::string::npos) << error.what();
    }
  }
}

TEST(PackedRefusals, Awq) {
  check("awq", {
                   {"AWQ packed as gemv, expected gemm",
                    [](auto& m) { m.quantization()["version"] = "gemv"; }},
                   {"bits 8, expected 4", [](auto& m) { m.quantization()["bits"] = 8; }},
                   {"bits: missing", [](auto& m) { m.quantization().erase("bits"); }},
                   {"group_size 0", [](auto& m) { m.quantization()["group_size"] = 0; }},
                   {".qzeros is missing", [](auto& m) { m.drop(".qzeros"); }},
                   {".scales is missing", [](auto& m) { m.drop(".scales"); }},
                   {"no tensor is packed", [](auto& m) { m.drop(".qweight"); }},
                   {"qweight: type F32", [](auto& m) { m.part(".qweight").type = "F32"; }},
                   {"scales: type I16", [](auto& m) { m.part(".scales").type = "I16"; }},
                   {"scales: shape [3, 32], expected [2, 32]",
                    [](auto& m) {
                      m.reshape(".scales", {3, 32});
                    }},
                   {"qzeros: shape [2, 5], expected [2, 4]",
                    [](auto& m) {
                      m.reshape(".qzeros", {2, 5});
                    }},
                   {"shape [256], expected [inputs, outputs/8]",
                    [](auto& m) { m.reshape(".qweight", {256}); }},
                   {"scales: shape [2, 32], expected [4, 32] (4 bits, group_size 16)",
                    [](auto& m) { m.quantization()["group_size"] = 16; }},
               });
}

TEST(PackedRefusals, CompressedTensors) {
  check("compressed-tensors",
        {
            {"in the layout float-quantized",
             [](auto& m) { m.quantization()["format"] = "float-quantized"; }},
            {"input_activations: quantizes activations",
             [](auto& m) {
               m.group()["input_activations"] = Json{{"num_bits", 8}};
             }},
            {"type: float, expected int", [](auto& m) { m.group()["weights"]["type"] = "float"; }},
            {"strategy: tensor, expected group or channel",
             [](auto& m) { m.group()["weights"]["strategy"] = "tensor"; }},
            {"num_bits", [](auto& m) { m.group()["weights"]["num_bits"] = 40; }},
            {"group_size", [](auto& m) { m.group()["weights"]["group_size"] = -7; }},
            {"config_groups: missing", [](auto& m) { m.quantization().erase("config_groups"); }},
            {"sparsity_config: format marlin-24",
             [](auto& m) {
               m.quantization()["sparsity_config"] = Json{{"format", "marlin-24"}};
             }},
            {"`ignore` says that it is dense",
             [](auto& m) { m.quantization()["ignore"] = Json::array({kModule}); }},
            {"no config group is for it",
             [](auto& m) { m.group()["targets"] = Json::array({"re:.*q_proj"}); }},
            {"'re:(': not a regular expression",
             [](auto& m) { m.group()["targets"] = Json::array({"re:("}); }},
            {"no tensor is packed", [](auto& m) { m.drop(".weight_packed"); }},
            {".weight_shape is missing", [](auto& m) { m.drop(".weight_shape"); }},
            {".weight_scale is missing", [](auto& m) { m.drop(".weight_scale"); }},
            {"weight_packed: shape [32, 8], expected [32, 16] (8 bits, group_size 32)",
             [](auto& m) { m.group()["weights"]["num_bits"] = 8; }},
            {"weight_scale: shape [32, 2], expected [32, 4]",
             [](auto& m) { m.group()["weights"]["group_size"] = 16; }},
            {"weight_shape: says [-1, 64]",
             [](auto& m) {
               const int64_t shape[] = {-1, 64};
               std::memcpy(m.part(".weight_shape").data.data(), shape, sizeof(shape));
             }},
            {"weight_zero_point is missing",
             [](auto& m) { m.group()["weights"]["symmetric"] = false; }},
        });
  check("compressed-tensors",
        {
            {"weight_zero_point: is there, but",
             [](auto& m) { m.group()["weights"]["symmetric"] = true; }},
            {"weight_zero_point: shape [4, 3]",
             [](auto& m) {
               m.reshape(".weight_zero_point", {4, 3});
             }},
        },
        false);
}

TEST(PackedRefusals, Mlx) {
  check("mlx",
        {
            {"mode mxfp4, expected affine", [](auto& m) { m.quantization()["mode"] = "mxfp4"; }},
            {"bits 7, expected", [](auto& m) { m.quantization()["bits"] = 7; }},
            {"group_size -1", [](auto& m) { m.quantization()["group_size"] = -1; }},
            {"no tensor is packed", [](auto& m) { m.drop(".biases"); }},
            {".scales is missing", [](auto& m) { m.drop(".scales"); }},
            {".weight is missing", [](auto& m) { m.drop(".weight"); }},
            {"weight: type I32, expected U32", [](auto& m) { m.part(".weight").type = "I32"; }},
            {"biases: type BF16, expected F16", [](auto& m) { m.part(".biases").type = "BF16"; }},
            {"scales: shape [32, 3]",
             [](auto& m) {
               m.reshape(".scales", {32, 3});
             }},
            {"shape [32, 8], expected [outputs, inputs·3/32]",
             [](auto& m) { m.quantization()["bits"] = 3; }},
        });
}

// Grids of single modules, as mlx-lm's mixed recipes name them.
TEST(PackedRefusals, MlxModulesOfTheirOwn) {
  TestCheckpoint model("mlx");
  model.quantization()["bits"] = 8;
  model.quantization()[kModule] = Json{{"bits", 4}, {"group_size", 32}};
  EXPECT_EQ(model.open(), model.matrix);
}

// Biases of others need not be whole multiples of the scale: such a matrix is read as values only.
TEST(PackedRefusals, MlxBiasesThatAreNoZeros) {
  TestCheckpoint model("mlx");
  model.part(".biases").data[0] = std::byte{0x55};
  EXPECT_EQ(model.open(), std::nullopt);
}

TEST(PackedRefusals, NamesWinOverClasses) {
  TestCheckpoint model("compressed-tensors");
  Json named = model.group();
  model.group()["weights"]["num_bits"] = 8;
  named["targets"] = Json::array({"re:.*down_proj$"});
  model.quantization()["config_groups"]["group_1"] = named;
  EXPECT_EQ(model.open(), model.matrix);
}

TEST(PackedRefusals, MethodsThatContradictEachOther) {
  TestCheckpoint model("awq");
  model.config["quantization"] = Json{{"bits", 4}, {"group_size", 32}, {"quant_method", "gptq"}};
  try {
    model.open();
    ADD_FAILURE();
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("quantized as gptq, but"), std::string::npos)
        << error.what();
  }
}

}  // namespace
}  // namespace halftone
