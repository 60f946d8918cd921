// Models made up for a bench: what they are, that they open, and that they are the same each time.
#include "apps/synthetic_model.h"

#include <gmock/gmock.h>
#include <sys/stat.h>

#include <algorithm>
#include <cmath>

#include "apps/model_shapes.h"
#include "apps/open_model.h"
#include "base/error.h"
#include "base/file.h"
#include "base/temporary_directory.h"

namespace halftone {
namespace {

using ::testing::HasSubstr;

Json tiny(const std::string& family) {
  return read_json_file(std::string(HALFTONE_SOURCE_DIR) + "/tests/data/tiny/" + family +
                        "/config.json");
}

std::vector<float> values_of(const OpenedModel& model, const TensorKey& key) {
  const auto [rows, cols] = model.tensors->shape(key);
  HostAllocator host;
  const Tensor values(host, rows, cols, DType::f32);
  model.tensors->read(key, values);
  return {values.row<float>(0), values.row<float>(0) + rows * cols};
}

TEST(SyntheticModel, EveryFamilyOpensWithTheTensorsOfItsConfiguration) {
  ThreadPool threads(2);
  for (const char* family : {"llama", "llama_bias", "qwen2", "qwen3", "gemma3", "mistral"}) {
    SCOPED_TRACE(family);
    const TemporaryDirectory folder;
    const Json config = with_layers(tiny(family), 1);
    EXPECT_EQ(layers_of(config), 1);
    write_synthetic_model(config, folder.path(), threads, true);
    const OpenedModel model = open_model(folder.path());  // strict: none missing, none too many
    EXPECT_EQ(model.config().layers, 1);
    EXPECT_EQ(synthetic_bytes(config), 2 * measure_size(model).parameters);
  }
}

TEST(SyntheticModel, AnOutlineHasTheSameTensorsAndTakesNoRoom) {
  ThreadPool threads(2);
  for (const char* family : {"llama", "qwen2", "gemma3"}) {
    SCOPED_TRACE(family);
    const TemporaryDirectory whole, outline;
    Json config = tiny(family);
    write_synthetic_model(config, whole.path(), threads, true);
    write_synthetic_outline(config, outline.path());
    const Checkpoint one = Checkpoint::open(whole.path()), other = Checkpoint::open(outline.path());
    ASSERT_EQ(one.entries().size(), other.entries().size());
    for (size_t i = 0; i < one.entries().size(); ++i) {
      EXPECT_EQ(one.entries()[i].name, other.entries()[i].name);
      EXPECT_EQ(one.entries()[i].shape, other.entries()[i].shape);
    }
    EXPECT_EQ(open_model(outline.path()).config().hidden, open_model(whole.path()).config().hidden);
    struct stat status;
    ASSERT_EQ(::stat((outline.path() + "/model.safetensors").c_str(), &status), 0);
    if (status.st_blocks * 512 >= status.st_size) GTEST_SKIP() << "no holes in files here";
    EXPECT_LT(status.st_blocks * 512, synthetic_bytes(config) / 2);
  }
}

TEST(SyntheticModel, WeightsAreNormalAndGainsHaveAnOutlier) {
  ThreadPool threads(2);
  const TemporaryDirectory folder;
  write_synthetic_model(tiny("llama"), folder.path(), threads, true);
  const OpenedModel model = open_model(folder.path());
  double squares = 0, sum = 0;
  const std::vector<float> weights = values_of(model, {.layer = 0, .role = Role::gate});
  for (const float w : weights) {
    sum += w;
    squares += w * w;
  }
  const auto count = static_cast<double>(weights.size());
  EXPECT_NEAR(sum / count, 0, 4 * .02 / std::sqrt(count));
  EXPECT_NEAR(squares / count, .02 * .02, 4 * .02 * .02 * std::sqrt(2 / count));
  // The channel whose gain is an outlier is read that much more quietly.
  const std::vector<float> queries = values_of(model, {.layer = 1, .role = Role::q});
  const int64_t cols = model.config().hidden, rows = static_cast<int64_t>(queries.size()) / cols;
  double loud = 0, next = 0;
  for (int64_t row = 0; row < rows; ++row) {
    loud += std::abs(queries[static_cast<size_t>(row * cols + 7)]);
    next += std::abs(queries[static_cast<size_t>(row * cols + 8)]);
  }
  EXPECT_GT(loud, 0);
  EXPECT_LT(loud, next / 8);
  const std::vector<float> gains = values_of(model, {.layer = 1, .role = Role::mlp_norm});
  EXPECT_EQ(std::count(gains.begin(), gains.end(), 20.f), 1);
  EXPECT_EQ(std::count(gains.begin(), gains.end(), 1.f), static_cast<int64_t>(gains.size()) - 1);
}

TEST(SyntheticModel, TheSameBytesWhateverTheThreads) {
  std::string bytes[2];
  for (const int threads : {1, 3}) {
    const TemporaryDirectory folder;
    ThreadPool pool(threads);
    write_synthetic_model(tiny("qwen2"), folder.path(), pool, true);
    bytes[threads == 3] = read_file(folder.file("model.safetensors"));
  }
  EXPECT_EQ(bytes[0], bytes[1]);
}

TEST(ModelShapes, NamesAndModels) {
  EXPECT_EQ(shape_config("qwq-32b")["intermediate_size"], 27648);
  EXPECT_EQ(shape_config("Llama-3.1-405B")["hidden_size"], 16384);
  EXPECT_EQ(layers_of(shape_config("qwen2.5-7b")), 28);
  EXPECT_EQ(layers_of(with_layers(shape_config("qwen2.5-7b"), 3)), 3);
  // 32.76 thousand million parameters, as its card has it.
  EXPECT_NEAR(static_cast<double>(synthetic_bytes(shape_config("qwq-32b"))) / 2e9, 32.76, .01);
  try {
    shape_config("qwen9");
    FAIL() << "known";
  } catch (const Error& error) {
    EXPECT_EQ(error.exit(), Exit::usage);
    EXPECT_THAT(error.hint(), HasSubstr("qwen2.5-7b"));
  }
}

}  // namespace
}  // namespace halftone
