// Labels put wrong on purpose, of a model whose every group has a zero of its own.
#include "apps/label_check.h"

#include <gmock/gmock.h>

#include <filesystem>

#include "apps/convert.h"
#include "apps/doctor_repair.h"
#include "apps/quantize.h"
#include "apps/test_model_folder.h"
#include "base/error.h"
#include "base/file.h"

namespace halftone {
namespace {

using ::testing::HasSubstr;

std::string quantize_tiny(const TestModelFolder& folder, const std::string& format,
                          bool symmetric) {
  QuantizeOptions options = folder.rounding("out", 16);
  options.format = format;
  options.symmetric = symmetric;
  quantize(*make_backend("cpu", {.threads = 1}), folder.open(), options);
  return options.output;
}

void relabel(const std::string& model, GptqVersion version) {
  const std::string config = model + "/config.json", stated = model + "/quantize_config.json";
  write_file_atomically(
      config, relabelled(read_file(config), "quantization_config", version, "config.json"));
  write_file_atomically(stated, relabelled(read_file(stated), "", version, "quantize_config.json"));
}

TEST(LabelCheck, AsymmetricZerosTell) {
  const TestModelFolder folder;
  const std::string model = quantize_tiny(folder, "gptq_v2", false);
  EXPECT_FALSE(wrong_label(open_model(model)));
  relabel(model, GptqVersion::v1);
  const OpenedModel opened = open_model(model);
  ASSERT_TRUE(wrong_label(opened));
  EXPECT_THAT(*wrong_label(opened), HasSubstr("zeros are stored as gptq_v2 under the label gptq"));
  EXPECT_THAT(label_hint(opened), HasSubstr("halftone doctor " + model + " --fix -o OUT"));
}

TEST(LabelCheck, OthersHaveNoSuchTrouble) {
  const TestModelFolder folder;
  EXPECT_FALSE(wrong_label(folder.open()));
  const std::string model = quantize_tiny(folder, "gptq_v2", true);
  relabel(model, GptqVersion::v1);
  EXPECT_FALSE(wrong_label(open_model(model))) << "a symmetric zero is read by its value";
}

TEST(LabelCheck, ConvertRefusesAWrongOne) {
  const TestModelFolder folder;
  const std::string model = quantize_tiny(folder, "gptq_v2", false);
  relabel(model, GptqVersion::v1);
  for (const std::string format : {"safetensors", "gptq_v2", "mlx"}) {
    const std::string output = folder.path("converted");
    try {
      convert(open_model(model), {.output = output, .format = format});
      ADD_FAILURE() << "converted to " << format;
    } catch (const Error& error) {
      EXPECT_EQ(error.exit(), Exit::bad_input);
      EXPECT_THAT(error.what(), HasSubstr("under the label gptq"));
      EXPECT_THAT(error.hint(), HasSubstr("--fix"));
    }
    EXPECT_FALSE(std::filesystem::exists(output));
  }
}

}  // namespace
}  // namespace halftone
