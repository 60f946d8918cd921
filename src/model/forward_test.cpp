#include "model/forward.h"

#include <gtest/gtest.h>

#include <cmath>
#include <numeric>

#include "base/error.h"
#include "model/test_model.h"

namespace halftone {
namespace {

// A random model with all that it takes to run it.
struct Model {
  explicit Model(const std::string& model_type, DType compute = DType::f32)
      : Model(small_config(model_type), *find_architecture(model_type), compute) {}
  Model(const ModelConfig& model_config, const ArchSpec& arch, DType compute = DType::f32)
      : config(model_config),
        source(random_weights(config, arch)),
        tensors(source, config, arch),
        provider(make_provider(*backend, tensors, {.compute = compute})),
        forward(*backend, tensors, *provider, compute) {}

  std::vector<float> logits(const Batch& batch) {
    const Tensor residual = forward.run(batch);
    const auto rows = static_cast<int64_t>(batch.logit_rows.size());
    const Tensor out = backend->allocate(rows, config.vocab, DType::f32);
    forward.logits(batch, residual, out);
    return {out.row<float>(0), out.row<float>(0) + rows * config.vocab};
  }

  std::unique_ptr<Backend> backend = make_backend("ref", {});
  ModelConfig config;
  MemorySource source;
  ModelTensors tensors;
  std::unique_ptr<WeightProvider> provider;
  Forward forward;
};

std::vector<int32_t> some_ids(int64_t count) {
  std::vector<int32_t> ids;
  for (int64_t i = 0; i < count; ++i) ids.push_back(static_cast<int32_t>((i * 17 + 5) % 40));
  return ids;
}

float largest_difference(std::span<const float> a, std::span<const float> b) {
  EXPECT_EQ(a.size(), b.size());
  float largest = 0;
  for (size_t i = 0; i < std::min(a.size(), b.size()); ++i)
    largest = std::max(largest, std::abs(a[i] - b[i]));
  return largest;
}

TEST(ForwardTest, MakesBatchesOfWholeSequences) {
  const Batch batch = make_batch(some_ids(6), 3);
  EXPECT_EQ(batch.starts, (std::vector<int64_t>{0, 3, 6}));
  EXPECT_EQ(batch.positions, (std::vector<int32_t>{0, 1, 2, 0, 1, 2}));
  EXPECT_EQ(batch.logit_rows.size(), 6u);
}

TEST(ForwardTest, SequencesOfABatchDoNotSeeEachOther) {
  Model model("qwen3");
  const std::vector<int32_t> ids = some_ids(12);
  const std::vector<float> together = model.logits(make_batch(ids, 6));
  const std::vector<float> second = model.logits(make_batch(std::span(ids).subspan(6), 6));
  EXPECT_EQ(largest_difference(std::span(together).subspan(6 * 40), second), 0);
}

TEST(ForwardTest, PiecesThroughACacheGiveWhatTheWholeGives) {
  for (const ArchSpec& arch : architectures()) {
    ModelConfig config = small_config(std::string(arch.model_type));
    if (arch.window != WindowRule::none) config.window = {3, 0};
    Model model(config, arch);
    const std::vector<int32_t> ids = some_ids(11);
    const std::vector<float> whole = model.logits(make_batch(ids, 11));
    KvCache cache(*model.backend, config.layers, 1, 11, config.kv_heads * config.head_dim,
                  DType::f32);
    std::vector<float> pieces;
    int64_t begin = 0;
    for (const int64_t count : {5, 1, 1, 4}) {
      const std::vector<int32_t> part(ids.begin() + begin, ids.begin() + begin + count);
      Batch batch = make_batch(part, count);
      for (int32_t& position : batch.positions) position += static_cast<int32_t>(begin);
      batch.cache = &cache;
      const std::vector<float> piece = model.logits(batch);
      pieces.insert(pieces.end(), piece.begin(), piece.end());
      begin += count;
    }
    EXPECT_EQ(cache.length(0), 11);
    EXPECT_LT(largest_difference(pieces, whole), 1e-5f) << arch.model_type;
  }
}

TEST(ForwardTest, ACacheThatIsFullSaysSo) {
  Model model("llama");
  KvCache cache(*model.backend, 2, 1, 4, 16, DType::f32);
  Batch batch = make_batch(some_ids(5), 5);
  batch.cache = &cache;
  EXPECT_THROW(model.forward.run(batch), Error);
}

TEST(ForwardTest, StagesComposeToTheBlock) {
  Model model("gemma3_text");
  Forward& forward = model.forward;
  const Batch batch = make_batch(some_ids(7), 7);
  const auto f32 = [&](int64_t cols) { return model.backend->allocate(7, cols, DType::f32); };
  const Tensor start = f32(16), by_block = f32(16), middle = f32(16), by_stage = f32(16);
  forward.embed(batch, start);
  forward.block(0, batch, start, by_block);
  ConstView residual = start;
  Tensor previous;
  for (const Stage stage : {Stage::attn_in, Stage::attn_out, Stage::mlp_in, Stage::mlp_out}) {
    const StageId id{.layer = 0, .stage = stage};
    const Tensor x = f32(forward.input_width(stage));
    forward.stage_input(id, batch, residual, previous, x);
    previous = f32(forward.output_width(stage));
    forward.stage_linears(id, x, previous);
    if (stage != Stage::attn_out && stage != Stage::mlp_out) continue;
    const View joined = stage == Stage::attn_out ? middle.view() : by_stage.view();
    forward.join(id, previous, residual, joined);
    residual = joined;
  }
  for (int64_t i = 0; i < 7 * 16; ++i)
    EXPECT_EQ(by_stage.row<float>(0)[i], by_block.row<float>(0)[i]);
}

// What the Hessian of weighed tokens sees (docs/methods.md §6).
TEST(ForwardTest, AWeighedInputIsAsLargeAsTheRootOfItsResidual) {
  for (const char* family : {"llama", "gemma3_text"}) {  // gemma: gain − 1 is stored
    Model model(family);
    Forward& forward = model.forward;
    const Batch batch = make_batch(some_ids(5), 5);
    const Tensor residual = model.backend->allocate(5, 16, DType::f32),
                 divided = model.backend->allocate(5, 16, DType::f32),
                 weighed = model.backend->allocate(5, 16, DType::f32);
    forward.embed(batch, residual);
    for (const Stage stage : {Stage::attn_in, Stage::mlp_in}) {
      const StageId id{.layer = 1, .stage = stage};
      forward.stage_input(id, batch, residual, {}, divided);
      forward.weighed_input(id, residual, weighed);
      for (int64_t token = 0; token < 5; ++token) {
        double squares = 0;
        for (int64_t i = 0; i < 16; ++i) squares += std::pow(residual.row<float>(token)[i], 2);
        const double rms = std::sqrt(squares / 16 + double{forward.config().norm.epsilon});
        const double root = std::sqrt(rms);
        for (int64_t i = 0; i < 16; ++i)
          EXPECT_NEAR(weighed.row<float>(token)[i], root * divided.row<float>(token)[i],
                      1e-5 * root);
      }
    }
  }
}

TEST(ForwardTest, TilesOfLogitsAreThoseOfTheWhole) {
  Model model("llama");
  const Batch batch = make_batch(some_ids(6), 6);
  const std::vector<float> whole = model.logits(batch);
  const Tensor residual = model.forward.run(batch);
  const Tensor tile = model.backend->allocate(2, 40, DType::f32);
  model.forward.logits_of(std::vector<int64_t>{4, 1}, residual, tile);
  EXPECT_EQ(largest_difference({tile.row<float>(0), 40}, std::span(whole).subspan(4 * 40, 40)), 0);
  EXPECT_EQ(largest_difference({tile.row<float>(1), 40}, std::span(whole).subspan(40, 40)), 0);
}

// gptj's and phi's way: one norm, and the MLP reads what attention reads.
TEST(ForwardTest, ParallelWiringAddsBothBranchesToOneResidual) {
  std::vector<TensorRule> rules(find_architecture("llama")->tensors.begin(),
                                find_architecture("llama")->tensors.end());
  for (TensorRule& rule : rules)
    if (rule.role == Role::mlp_norm) rule.name = "layers.{}.input_layernorm";
  ArchSpec arch = *find_architecture("llama");
  arch.tensors = rules;
  arch.wiring = Wiring::parallel;
  Model model(small_config("llama"), arch);
  const Batch batch = make_batch(some_ids(5), 5);
  const auto f32 = [&](int64_t cols) { return model.backend->allocate(5, cols, DType::f32); };
  const Tensor start = f32(16), out = f32(16);
  model.forward.embed(batch, start);
  model.forward.block(0, batch, start, out);

  // By hand: start + attention(norm(start)) + mlp(norm(start)).
  const Tensor zero = f32(16), x = f32(16), qkv = f32(64), heads = f32(32), attention = f32(16);
  const Tensor gate_up = f32(48), product = f32(24), mlp = f32(16);
  model.backend->fill(zero, 0);
  const auto id = [](Stage stage) { return StageId{.layer = 0, .stage = stage}; };
  model.forward.stage_input(id(Stage::attn_in), batch, start, {}, x);
  model.forward.stage_linears(id(Stage::attn_in), x, qkv);
  model.forward.stage_input(id(Stage::attn_out), batch, start, qkv, heads);
  model.forward.stage_linears(id(Stage::attn_out), heads, attention);
  model.forward.stage_linears(id(Stage::mlp_in), x, gate_up);
  model.forward.stage_input(id(Stage::mlp_out), batch, start, gate_up, product);
  model.forward.stage_linears(id(Stage::mlp_out), product, mlp);
  for (int64_t i = 0; i < 5 * 16; ++i)
    EXPECT_NEAR(out.row<float>(0)[i],
                start.row<float>(0)[i] + attention.row<float>(0)[i] + mlp.row<float>(0)[i], 1e-5);
}

TEST(ForwardTest, Bf16StaysNearF32) {
  Model full("qwen2"), half("qwen2", DType::bf16);
  const Batch batch = make_batch(some_ids(9), 9);
  const std::vector<float> a = full.logits(batch), b = half.logits(batch);
  const float largest = *std::max_element(a.begin(), a.end());
  EXPECT_GT(largest_difference(a, b), 0);
  EXPECT_LT(largest_difference(a, b), 0.05f * largest);
}

TEST(ForwardTest, CountsOperations) {
  Model model("llama");
  Profile profile;
  model.forward.set_profile(&profile);
  model.logits(make_batch(some_ids(6), 6));
  const double linears = 2 * (2 * 32 * 16 + 2 * 16 * 16 + 3 * 24 * 16);
  EXPECT_EQ(profile.rows().at("linear").operations, 2 * 6 * linears);
  EXPECT_EQ(profile.rows().at("attention").operations, 2 * 4 * 32 * 21);
  EXPECT_EQ(profile.rows().at("head").operations, 2 * 6 * 40 * 16);
}

}  // namespace
}  // namespace halftone
