// Values that no code stands for: convert refuses them, and says where they are; where a dense type
// holds them, they are copied, and said.
#include <gmock/gmock.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <limits>

#include "apps/convert.h"
#include "apps/test_model_folder.h"
#include "base/error.h"
#include "base/file.h"

namespace halftone {
namespace {

using ::testing::HasSubstr;

constexpr char kLinear[] = "model.layers.1.mlp.up_proj";

// Puts two bytes into the tensor's data, whichever of the model's files holds it.
void put(const std::string& model, const std::string& tensor, int64_t at, uint16_t bits) {
  std::string file;
  size_t place = 0;
  {
    const Checkpoint checkpoint = Checkpoint::open(model);
    const ContainerEntry* entry = checkpoint.find(tensor);
    ASSERT_NE(entry, nullptr) << tensor;
    file = entry->file;
    const std::string bytes = read_file(file);
    place = bytes.find(
        std::string(reinterpret_cast<const char*>(entry->bytes.data()), entry->bytes.size()));
    ASSERT_NE(place, std::string::npos);
  }
  std::fstream out(file, std::ios::binary | std::ios::in | std::ios::out);
  out.seekp(static_cast<std::streamoff>(place) + 2 * at);
  out.write(reinterpret_cast<const char*>(&bits), 2);
}

std::string refusal(const std::string& model, const ConvertOptions& options) {
  try {
    convert(open_model(model), options);
  } catch (const Error& error) {
    EXPECT_EQ(error.exit(), Exit::bad_input) << error.what();
    EXPECT_FALSE(std::filesystem::exists(options.output));
    return error.what();
  }
  return "converted";
}

class ConvertValues : public testing::TestWithParam<std::string> {
 protected:
  TestModelFolder folder_{"qwen2", true};
  std::string refused() {
    return refusal(folder_.model_path(),
                   {.output = folder_.path("out"), .format = "gguf", .gguf = {.type = GetParam()}});
  }
};

TEST_P(ConvertValues, NaNsAndInfinitiesAreRefused) {
  put(folder_.model_path(), std::string(kLinear) + ".weight", 3, 0x7fc0);
  EXPECT_THAT(refused(), HasSubstr("up_proj.weight: NaN at row 0, column 3, expected finite"));
  put(folder_.model_path(), std::string(kLinear) + ".weight", 3, 0xff80);
  EXPECT_THAT(refused(), HasSubstr("up_proj.weight: an infinity at row 0, column 3"));
}

TEST_P(ConvertValues, NaNsInTheEmbeddingAreRefused) {
  put(folder_.model_path(), "model.embed_tokens.weight", 1, 0x7fc0);
  EXPECT_THAT(refused(), HasSubstr("embed_tokens.weight: NaN at row 0, column 1"));
}

// 2^26 is finite, and 127 times f16's largest value is less.
TEST_P(ConvertValues, WeightsBeyondAnF16ScaleAreRefused) {
  put(folder_.model_path(), std::string(kLinear) + ".weight", 3, 0x4c80);
  EXPECT_THAT(refused(), HasSubstr("up_proj.weight: row 0 has weights too large"));
}

INSTANTIATE_TEST_SUITE_P(Types, ConvertValues, testing::Values("Q8_0", "Q4_0", "Q4_K_M"));

class ConvertScales : public testing::TestWithParam<std::string> {};

TEST_P(ConvertScales, ThatAreNotFiniteAreRefused) {
  const TestModelFolder folder("qwen2", true);
  const std::string codes = folder.path("codes"), model = folder.path("packed");
  convert(folder.open(), {.output = codes, .format = "gguf", .gguf = {.type = "Q4_0"}});
  convert(open_model(codes), {.output = model, .format = GetParam()});
  const bool scales = GetParam() != "gguf";
  const std::string tensor =
      std::string(kLinear) + (GetParam() == "compressed-tensors" ? ".weight_scale" : ".scales");
  put(model, scales ? tensor : "blk.1.ffn_up.weight", 0, 0x7fff);
  for (const std::string target : {"gptq_v2", "awq", "compressed-tensors", "mlx", "gguf"}) {
    const std::string text = refusal(model, {.output = folder.path("out"), .format = target});
    EXPECT_THAT(text, HasSubstr(std::string(kLinear) +
                                (GetParam() == "mlx" ? ".weight: NaN at row 0, column 0"
                                                     : ": NaN as the scale of row 0, group 0")))
        << target;
  }
}

TEST(ConvertToDense, SaysWhatIsNoNumber) {
  const TestModelFolder folder("qwen2", true);
  EXPECT_EQ(convert(folder.open(), {.output = folder.path("clean")}).not_finite, "");
  const std::string weight = std::string(kLinear) + ".weight";
  put(folder.model_path(), weight, 3, 0x7fc0);
  put(folder.model_path(), weight, 5, 0xff80);
  put(folder.model_path(), "model.norm.weight", 2, 0xff80);
  const std::string said = weight + ": NaN at [0, 3]; model.norm.weight: infinity at [0, 2]";
  EXPECT_EQ(convert(folder.open(), {.output = folder.path("bf16")}).not_finite, said);
  EXPECT_EQ(convert(folder.open(), {.output = folder.path("f32"), .dtype = "f32"}).not_finite,
            said);
  const ConvertOutcome gguf = convert(
      folder.open(), {.output = folder.path("gguf"), .format = "gguf", .gguf = {.type = "BF16"}});
  EXPECT_EQ(gguf.not_finite, said);
}

// A norm is dense beside codes too.
TEST(ConvertToCodes, SaysWhichDenseValueIsNoNumber) {
  const TestModelFolder folder("qwen2", true);
  put(folder.model_path(), "model.norm.weight", 2, 0x7fc0);
  const ConvertOutcome outcome = convert(
      folder.open(), {.output = folder.path("out"), .format = "gguf", .gguf = {.type = "Q8_0"}});
  EXPECT_EQ(outcome.not_finite, "model.norm.weight: NaN at [0, 2]");
}

INSTANTIATE_TEST_SUITE_P(Formats, ConvertScales,
                         testing::Values("gptq", "awq", "compressed-tensors", "mlx", "gguf"),
                         [](const auto& test) {
                           return test.param == "compressed-tensors" ? "compressed" : test.param;
                         });

}  // namespace
}  // namespace halftone
