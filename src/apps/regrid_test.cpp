// Regridding on the tiny models: the same logits from other weights.
#include "apps/regrid.h"

#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <numeric>

#include "apps/open_model.h"
#include "base/error.h"
#include "model/forward.h"

namespace halftone {
namespace {

namespace fs = std::filesystem;

const std::string kTiny = HALFTONE_SOURCE_DIR "/tests/data/tiny/";

std::vector<float> logits(const ModelTensors& tensors) {
  const auto backend = make_backend("ref", {});
  const auto provider = make_provider(*backend, tensors, {});
  Forward forward(*backend, tensors, *provider, DType::f32);
  std::vector<int32_t> ids(24);
  std::iota(ids.begin(), ids.end(), 3);
  const Batch batch = make_batch(ids, 24);
  const Tensor residual = forward.run(batch);
  const Tensor out = backend->allocate(24, tensors.config().vocab, DType::f32);
  forward.logits(batch, residual, out);
  return {out.row<float>(0), out.row<float>(0) + 24 * tensors.config().vocab};
}

float largest_difference(const std::vector<float>& a, const std::vector<float>& b) {
  float largest = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    const float difference = std::abs(a[i] - b[i]);
    if (!(difference <= largest)) largest = difference;
  }
  return largest;
}

std::vector<float> values(const WeightSource& source, const std::string& name) {
  const StoredTensor& stored = *source.find(name);
  HostAllocator host;
  const Tensor out(host, stored.rows, stored.cols, DType::f32);
  source.read(name, 0, stored.rows, out);
  return {out.row<float>(0), out.row<float>(0) + stored.rows * stored.cols};
}

TEST(RegridTest, ComputesTheSameOnOtherWeights) {
  for (const char* name : {"llama_bias", "mistral", "qwen2", "qwen3", "gemma3_text"}) {
    const OpenedModel model = open_model(kTiny + name);
    const RegriddedSource source(*model.tensors, 11);
    const ModelTensors regridded(source, model.config());
    EXPECT_LT(largest_difference(logits(*model.tensors), logits(regridded)), 1e-4f) << name;
    for (const TensorKey& key : model.tensors->keys()) {
      if (!is_linear(key.role) || key.part == Part::bias) continue;
      const std::string tensor = model.tensors->name(key);
      EXPECT_NE(values(*model.source, tensor), values(source, tensor)) << name << " " << tensor;
    }
  }
}

TEST(RegridTest, FactorsStayWithinAQuarterAndFollowTheSeed) {
  const OpenedModel model = open_model(kTiny + "llama");
  const RegriddedSource a(*model.tensors, 1), again(*model.tensors, 1), b(*model.tensors, 2);
  const std::string name = "model.layers.1.input_layernorm.weight";
  const std::vector<float> plain = values(*model.source, name), first = values(a, name);
  EXPECT_EQ(first, values(again, name));
  EXPECT_NE(first, values(b, name));
  for (size_t i = 0; i < plain.size(); ++i)
    EXPECT_LE(std::abs(std::log(first[i] / plain[i])), 0.2501f);
}

TEST(RegridTest, WritesAModelThatOpens) {
  const fs::path directory = fs::temp_directory_path() / "halftone_regrid_test";
  fs::remove_all(directory);
  const OpenedModel plain = open_model(kTiny + "qwen2");
  write_regridded(plain, directory, {.seed = 5, .quiet = true});
  const OpenedModel written = open_model(directory);
  EXPECT_EQ(written.tensors->stored({.layer = 0, .role = Role::q}).encoding, "bf16");
  const float moved = largest_difference(logits(*plain.tensors), logits(*written.tensors));
  EXPECT_GT(moved, 0);
  EXPECT_LT(moved, 0.5f);  // bf16 rounding alone
  EXPECT_THROW(write_regridded(plain, directory, {.seed = 5}), Error);
  fs::remove_all(directory);
}

}  // namespace
}  // namespace halftone
