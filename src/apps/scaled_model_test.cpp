// A model in another basis computes what it computed: every tiny family, every fold, factors from
// 1/4 to 4.
#include "apps/scaled_model.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <set>

#include "base/rng.h"
#include "model/forward.h"
#include "model/producer.h"

namespace halftone {
namespace {

namespace fs = std::filesystem;

std::vector<std::string> tiny_models() {
  std::vector<std::string> found;
  for (const auto& entry : fs::directory_iterator(HALFTONE_SOURCE_DIR "/tests/data/tiny"))
    if (entry.is_directory()) found.push_back(entry.path().filename().string());
  std::sort(found.begin(), found.end());
  return found;
}

// Random factors for every stage, shared where a producer's channel is.
std::vector<StageScales> random_scales(const OpenedModel& model) {
  Rng rng(9);
  std::vector<StageScales> stages;
  for (int layer = 0; layer < model.config().layers; ++layer)
    for (int s = 0; s < kStages; ++s) {
      const StageId id{layer, static_cast<Stage>(s)};
      const auto producer = producer_of(*model.tensors, id);
      if (!producer) continue;
      std::vector<float> of_channels(producer->channel_of.size());
      for (float& factor : of_channels)
        factor = static_cast<float>(std::exp2(4 * rng.uniform() - 2));
      StageScales stage{id, {}, ""};
      for (const int32_t channel : producer->channel_of)
        stage.scales.factors.push_back(of_channels[static_cast<size_t>(channel)]);
      make_exact(model, stage);
      stages.push_back(std::move(stage));
    }
  return stages;
}

std::vector<float> logits_of(Backend& backend, const OpenedModel& model) {
  const auto provider = make_provider(backend, *model.tensors, {.streamed = true});
  Forward forward(backend, *model.tensors, *provider, DType::f32);
  std::vector<int32_t> ids;
  for (int64_t i = 0; i < 24; ++i)
    ids.push_back(static_cast<int32_t>(7 * i % model.config().vocab));
  const Batch batch = make_batch(ids, 24);
  const Tensor residual = forward.run(batch);
  const Tensor logits = backend.allocate(batch.tokens(), model.config().vocab, DType::f32);
  forward.logits(batch, residual, logits);
  std::vector<float> values(static_cast<size_t>(logits.rows() * logits.cols()));
  backend.download(logits, {values.data(), logits.rows(), logits.cols(), logits.cols()});
  return values;
}

class ScaledModel : public testing::TestWithParam<std::string> {
 protected:
  OpenedModel model_ =
      open_model(std::string(HALFTONE_SOURCE_DIR) + "/tests/data/tiny/" + GetParam());
};

TEST_P(ScaledModel, ComputesTheSame) {
  const auto backend = make_backend("cpu", {.threads = 1});
  const std::vector<StageScales> stages = random_scales(model_);
  EXPECT_EQ(stages.size(), static_cast<size_t>(model_.config().layers * kStages));
  const OpenedModel scaled = scale_model(model_, stages);
  const std::vector<float> expected = logits_of(*backend, model_);
  const std::vector<float> got = logits_of(*backend, scaled);
  ASSERT_EQ(got.size(), expected.size());
  float largest = 0;
  for (const float value : expected) largest = std::max(largest, std::abs(value));
  for (size_t i = 0; i < got.size(); ++i)
    ASSERT_NEAR(got[i], expected[i], 1e-4f * std::max(1.0f, largest)) << "logit " << i;

  // Every linear and every producer is another one.
  std::set<std::string> changed;
  for (const StoredTensor& stored : scaled.source->tensors())
    if (stored.bytes == 0) changed.insert(stored.name);
  for (const TensorKey& key : model_.tensors->keys()) {
    const bool folded =
        is_linear(key.role)
            ? key.part == Part::weight || key.role == Role::v || key.role == Role::up
            : key.role == Role::attn_norm || key.role == Role::mlp_norm;
    EXPECT_EQ(changed.contains(model_.tensors->name(key)), folded) << model_.tensors->name(key);
  }
}

INSTANTIATE_TEST_SUITE_P(Tiny, ScaledModel, testing::ValuesIn(tiny_models()),
                         [](const auto& test) { return test.param; });

}  // namespace
}  // namespace halftone
