#include "format/dense_tensors.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>

#include "base/temporary_directory.h"
#include "format/open_weights.h"
#include "io/gguf_test_file.h"

namespace halftone {
namespace {

struct Written {
  explicit Written(const GgufTestFile& file) {
    write_test_file(place.file("tiny.gguf"), file.bytes());
    from = std::make_unique<Checkpoint>(Checkpoint::open(place.file("tiny.gguf")));
    weights = open_weights(*from);
    const DenseTensors dense(*from, *weights.source, [](const std::string&) { return true; });
    std::vector<TensorPlan> plan;
    dense.plan(plan);
    SafetensorsWriter writer(place.path(), plan);
    dense.write(writer);
    writer.finish();
    container = std::make_unique<SafetensorsFile>(place.file("model.safetensors"));
  }

  const ContainerEntry& entry(const std::string& name) const {
    const auto& all = container->entries();
    return *std::find_if(all.begin(), all.end(),
                         [&](const ContainerEntry& entry) { return entry.name == name; });
  }

  TemporaryDirectory place;
  std::unique_ptr<Checkpoint> from;
  OpenedWeights weights;
  std::unique_ptr<SafetensorsFile> container;
};

GgufTestFile with_norm(const std::vector<float>& gain, uint32_t matrix_type) {
  GgufTestFile file = tiny_gguf("llama");
  for (GgufTestFile::Tensor& tensor : file.tensors) {
    if (tensor.name == "output_norm.weight")
      tensor.data.assign(reinterpret_cast<const char*>(gain.data()), 4 * gain.size());
    if (tensor.dimensions.size() == 2) {
      int64_t count = tensor.dimensions[0] * tensor.dimensions[1];
      tensor.type = matrix_type;
      tensor.data.assign(static_cast<size_t>(2 * count), '\x11');
    }
  }
  return file;
}

// As llama.cpp writes a 16-bit model: matrices in its type, vectors in f32.
TEST(DenseTensors, AGgufKeepsEveryValueInTheSmallestTypeThatFits) {
  constexpr uint32_t kF16 = 1, kBf16 = 30;
  const std::string norm = "model.norm.weight", matrix = "model.layers.0.mlp.down_proj.weight";
  std::vector<float> gain(32, 1.5f);
  EXPECT_EQ(Written(with_norm(gain, kF16)).entry(norm).type, "F16");
  EXPECT_EQ(Written(with_norm(gain, kF16)).entry(matrix).type, "F16");
  EXPECT_EQ(Written(with_norm(gain, kBf16)).entry(norm).type, "BF16");
  EXPECT_EQ(Written(with_norm(gain, kBf16)).entry(matrix).type, "BF16");
  gain[7] = 0.12345678f;
  const Written exact(with_norm(gain, kF16));
  const ContainerEntry& entry = exact.entry(norm);
  ASSERT_EQ(entry.type, "F32");
  EXPECT_EQ(std::memcmp(entry.bytes.data(), gain.data(), 4 * gain.size()), 0);
}

}  // namespace
}  // namespace halftone
