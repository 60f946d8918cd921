#include "format/dense_tensors.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>

#include "base/memory_usage.h"
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
    ThreadPool threads(2);
    dense.write(writer, threads);
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

// A table of which every value is made when it is asked for.
class MadeUp final : public WeightSource {
 public:
  MadeUp(int64_t rows, int64_t cols) {
    tensors_.push_back({.name = "table", .rows = rows, .cols = cols, .quantized = true});
  }
  const std::vector<StoredTensor>& tensors() const override { return tensors_; }
  void read(std::string_view, int64_t begin, int64_t end, View out) const override {
    for (int64_t r = begin; r < end; ++r)
      for (int64_t c = 0; c < out.cols; ++c) {
        const float value = value_at(r, c);
        if (out.dtype == DType::f32)
          out.row<float>(r - begin)[c] = value;
        else
          out.row<bf16>(r - begin)[c] = to_bf16(value);
      }
  }
  static float value_at(int64_t row, int64_t col) {
    return static_cast<float>(row % 251) - static_cast<float>(col % 13);
  }

 private:
  std::vector<StoredTensor> tensors_;
};

void write_table(const MadeUp& source, DType dtype, const std::string& directory) {
  const Checkpoint none;
  const DenseTensors dense(
      none, source, [](const std::string&) { return true; }, dtype);
  std::vector<TensorPlan> plan;
  dense.plan(plan);
  SafetensorsWriter writer(directory, plan);
  ThreadPool threads(2);
  dense.write(writer, threads);
  writer.finish();
}

TEST(DenseTensors, PartsJoinToTheWholeTable) {
  constexpr int64_t kRows = 2500, kCols = 1031;  // no multiple of what is written at once
  const MadeUp source(kRows, kCols);
  for (const DType dtype : {DType::f16, DType::bf16, DType::f32}) {
    const TemporaryDirectory place;
    write_table(source, dtype, place.path());
    const SafetensorsFile read(place.file("model.safetensors"));
    const ContainerEntry& entry = read.entries().at(0);
    ASSERT_EQ(entry.shape, (std::vector<int64_t>{kRows, kCols}));
    const ConstView view{entry.bytes.data(), kRows, kCols, kCols, dtype};
    for (int64_t r = 0; r < kRows; ++r)
      for (int64_t c = 0; c < kCols; ++c) {
        const float value = dtype == DType::f32   ? view.row<float>(r)[c]
                            : dtype == DType::f16 ? to_float(view.row<f16>(r)[c])
                                                  : to_float(view.row<bf16>(r)[c]);
        ASSERT_EQ(value, MadeUp::value_at(r, c)) << name_of(dtype) << " " << r << ", " << c;
      }
  }
}

TEST(DenseTensors, ALargeTableIsNotHeldWhole) {
  const MadeUp source(16384, 2048);  // 64 MiB in bf16
  const TemporaryDirectory place;
  const int64_t before = anonymous_memory();
  const MemoryWatch watch;
  write_table(source, DType::bf16, place.path());
  EXPECT_LT(watch.peak() - before, int64_t{32} << 20);
}

}  // namespace
}  // namespace halftone
