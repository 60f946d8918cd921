// Every family against Hugging Face Transformers: the logits of tests/data/tiny, which
// tools/make_tiny_models.py has written.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <set>

#include "backend/backend_fixture.h"
#include "io/checkpoint.h"
#include "model/forward.h"

namespace halftone {
namespace {

namespace fs = std::filesystem;

struct Golden {
  std::vector<int32_t> ids;
  std::vector<float> logits;
};

template <class T>
std::vector<T> values_of(const SafetensorsFile& file, std::string_view name) {
  for (const ContainerEntry& entry : file.entries()) {
    if (entry.name != name) continue;
    std::vector<T> values(entry.bytes.size() / sizeof(T));
    std::memcpy(values.data(), entry.bytes.data(), entry.bytes.size());
    return values;
  }
  ADD_FAILURE() << name << " is missing";
  return {};
}

Golden read_golden(const fs::path& directory) {
  const SafetensorsFile file(directory.string() + ".golden.safetensors");
  return {values_of<int32_t>(file, "ids"), values_of<float>(file, "logits")};
}

std::vector<fs::path> model_directories() {
  std::vector<fs::path> found;
  for (const auto& entry : fs::directory_iterator(HALFTONE_SOURCE_DIR "/tests/data/tiny"))
    if (entry.is_directory()) found.push_back(entry.path());
  std::sort(found.begin(), found.end());
  return found;
}

struct Comparison {
  float largest_difference = 0;
  float largest_logit = 0;
};

Comparison compare(Backend& backend, const fs::path& directory) {
  const Golden golden = read_golden(directory);
  const Checkpoint checkpoint = Checkpoint::open(directory.string());
  const ModelConfig config = read_config(checkpoint.metadata());
  const auto source = open_dense_weights(checkpoint);
  const ModelTensors tensors(*source, config);
  const auto provider = make_provider(backend, tensors, {});
  Forward forward(backend, tensors, *provider, DType::f32);
  const auto tokens = static_cast<int64_t>(golden.ids.size());
  const Batch batch = make_batch(golden.ids, tokens);
  const Tensor residual = forward.run(batch);
  const Tensor on_device = backend.allocate(tokens, config.vocab, DType::f32);
  forward.logits(batch, residual, on_device);
  HostAllocator host;
  const Tensor logits(host, tokens, config.vocab, DType::f32);
  backend.download(on_device, logits);
  Comparison result;
  EXPECT_EQ(golden.logits.size(), static_cast<size_t>(tokens * config.vocab));
  for (size_t i = 0; i < golden.logits.size(); ++i) {
    const float difference = std::abs(logits.row<float>(0)[i] - golden.logits[i]);
    // Not std::max, which would pass over a NaN.
    if (!(difference <= result.largest_difference)) result.largest_difference = difference;
    result.largest_logit = std::max(result.largest_logit, std::abs(golden.logits[i]));
  }
  return result;
}

class GoldenTest : public BackendFixture {};

TEST_P(GoldenTest, LogitsAreThoseOfTransformers) {
  for (const fs::path& directory : model_directories()) {
    const Comparison result = compare(*backend_, directory);
    EXPECT_LE(result.largest_difference, 1e-4f) << directory.filename();
    EXPECT_GE(result.largest_logit, 2) << directory.filename();
  }
}

INSTANTIATE_TEST_SUITE_P(Backends, GoldenTest, testing::ValuesIn(backend_names()),
                         [](const auto& backend) { return backend.param; });

TEST(GoldenFilesTest, EveryFamilyHasOne) {
  std::set<std::string> seen;
  for (const fs::path& directory : model_directories())
    seen.insert(read_config(Checkpoint::open(directory.string()).metadata()).model_type);
  for (const ArchSpec& arch : architectures())
    EXPECT_TRUE(seen.contains(std::string(arch.model_type)))
        << arch.model_type << " has none: add it to tools/make_tiny_models.py";
}

}  // namespace
}  // namespace halftone
