// Checkpoints made in both versions, under either label, symmetric and not.
#include "format/gptq_label.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <map>

#include "base/rng.h"
#include "base/temporary_directory.h"
#include "format/gptq.h"
#include "io/safetensors.h"

namespace halftone {
namespace {

constexpr int64_t kRows = 64, kCols = 256;

// Codes that scatter about their zeros as a quantized weight's do: the sum of four uniform steps.
QuantizedMatrix make_matrix(const Grid& grid, uint64_t seed) {
  Rng rng(seed);
  QuantizedMatrix matrix{.grid = grid, .rows = kRows, .cols = kCols};
  const int64_t groups = grid.groups(kCols);
  matrix.scales.assign(static_cast<size_t>(kRows * groups), 0.0078125f);
  for (int64_t i = 0; i < kRows * groups; ++i) {
    // At 2 bits a zero at the end of the range would clamp every weight above it.
    const int off = grid.symmetric ? 0 : static_cast<int>(rng.below(grid.bits == 2 ? 2 : 3)) - 1;
    matrix.zeros.push_back(static_cast<uint8_t>(grid.symmetric_zero() + off));
  }
  const int width = std::max(1, grid.levels() / 8);  // of each step, to both sides
  for (int64_t row = 0; row < kRows; ++row)
    for (int64_t col = 0; col < kCols; ++col) {
      int code = matrix.zeros[static_cast<size_t>(row * groups + matrix.group(col))];
      for (int step = 0; step < 4; ++step)
        code += static_cast<int>(rng.below(static_cast<uint64_t>(2 * width + 1))) - width;
      matrix.codes.push_back(static_cast<uint8_t>(std::clamp(code, 0, grid.levels() - 1)));
    }
  return matrix;
}

struct MadeLinear {
  Grid grid;
  GptqVersion stored;
};

LabelEvidence weigh(const std::vector<MadeLinear>& linears, const std::string& label) {
  const TemporaryDirectory place;
  std::ofstream(place.file("config.json")) << R"({"model_type": "llama"})";
  std::ofstream(place.file("quantize_config.json"))
      << R"({"bits": )" << linears[0].grid.bits << R"(, "group_size": 64, "sym": )"
      << (linears[0].grid.symmetric ? "true" : "false") << R"(, "desc_act": false, )"
      << R"("quant_method": "gptq", "checkpoint_format": ")" << label << "\"}";
  std::vector<PackedTensor> tensors;
  for (size_t i = 0; i < linears.size(); ++i) {
    const auto [grid, stored] = linears[i];
    for (PackedTensor& tensor : pack_gptq("model.layers." + std::to_string(i) + ".mlp.up_proj",
                                          make_matrix(grid, i + 1), stored))
      tensors.push_back(std::move(tensor));
  }
  std::vector<TensorPlan> plan;
  for (const PackedTensor& tensor : tensors)
    plan.push_back(
        {tensor.name, tensor.type, tensor.shape, static_cast<int64_t>(tensor.data.size())});
  SafetensorsWriter writer(place.path(), plan);
  for (const PackedTensor& tensor : tensors) writer.write(tensor.name, tensor.data);
  writer.finish();
  const Checkpoint checkpoint = Checkpoint::open(place.path());
  return weigh_gptq_label(checkpoint, read_gptq_config(*find_stated_quantization(checkpoint)));
}

Grid grid(int bits, bool symmetric) {
  return {.bits = bits, .group_size = 64, .symmetric = symmetric};
}

// The worked example: 4 bits, symmetric, zeros 8. v2 stores 8, which a reader of v1 takes for 9,
// and codes that scatter about 8 are one too low.
TEST(GptqLabel, SymmetricZerosTellByTheirValue) {
  const Grid sym = grid(4, true);
  const LabelEvidence wrong = weigh({{sym, GptqVersion::v2}, {sym, GptqVersion::v2}}, "gptq");
  EXPECT_EQ(wrong.verdict, LabelVerdict::wrong);
  EXPECT_EQ(wrong.wrong_by_value, 2);
  EXPECT_EQ(wrong.groups, 2 * kRows * kCols / 64);
  EXPECT_NEAR(wrong.center, -1, 0.2);
  EXPECT_LT(wrong.error, 0.1);

  const LabelEvidence right = weigh({{sym, GptqVersion::v1}}, "gptq");
  EXPECT_EQ(right.verdict, LabelVerdict::right);
  EXPECT_EQ(right.right_by_value, 1);
  EXPECT_NEAR(right.center, 0, 0.2);

  EXPECT_EQ(weigh({{sym, GptqVersion::v1}}, "gptq_v2").verdict, LabelVerdict::wrong);
  EXPECT_EQ(weigh({{sym, GptqVersion::v2}}, "gptq_v2").verdict, LabelVerdict::right);
}

TEST(GptqLabel, AsymmetricZerosTellByWhereCodesLie) {
  for (const int bits : {2, 3, 4}) {
    const MadeLinear v2{grid(bits, false), GptqVersion::v2};
    const LabelEvidence right = weigh({v2, v2}, "gptq_v2");
    EXPECT_EQ(right.verdict, LabelVerdict::right) << bits;
    const LabelEvidence wrong = weigh({v2, v2}, "gptq");
    EXPECT_EQ(wrong.verdict, LabelVerdict::wrong) << bits;
    EXPECT_EQ(wrong.right_by_value + wrong.wrong_by_value, 0) << bits;
  }
}

// A zero of 0 cannot be stored as v1; these have none.
TEST(GptqLabel, AsymmetricZerosStoredAsV1AreReadOneTooLowAsV2) {
  const MadeLinear v1{grid(4, false), GptqVersion::v1};
  const LabelEvidence wrong = weigh({v1, v1}, "gptq_v2");
  EXPECT_EQ(wrong.verdict, LabelVerdict::wrong);
  EXPECT_NEAR(wrong.center, 1, 0.2);
  EXPECT_EQ(weigh({v1, v1}, "gptq").verdict, LabelVerdict::right);
}

// At 8 bits a weight's deviation is dozens of steps: 1,024 groups do not tell one step.
TEST(GptqLabel, SaysWhenItCannotTell) {
  const MadeLinear fine{grid(8, false), GptqVersion::v2};
  const LabelEvidence evidence = weigh({fine, fine}, "gptq_v2");
  EXPECT_GT(3 * evidence.error, 0.5);
  EXPECT_EQ(evidence.verdict, LabelVerdict::unknown);
}

TEST(GptqLabel, TwoVersionsUnderOneLabelAreMixed) {
  const Grid sym = grid(4, true);
  EXPECT_EQ(weigh({{sym, GptqVersion::v1}, {sym, GptqVersion::v2}}, "gptq").verdict,
            LabelVerdict::mixed);
}

}  // namespace
}  // namespace halftone
