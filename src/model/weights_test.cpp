#include "model/weights.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

#include "base/error.h"
#include "model/overlay.h"
#include "model/test_model.h"

namespace halftone {
namespace {

using testing::HasSubstr;

const ArchSpec& arch(std::string_view model_type) { return *find_architecture(model_type); }

std::string error_of(const MemorySource& source, const ModelConfig& config) {
  try {
    const ModelTensors tensors(source, config);
  } catch (const Error& error) {
    EXPECT_EQ(error.exit(), Exit::bad_input);
    return error.what();
  }
  return "no error";
}

std::vector<float> read(const ModelTensors& tensors, const TensorKey& key) {
  HostAllocator host;
  const auto [rows, cols] = tensors.shape(key);
  const Tensor values(host, rows, cols, DType::f32);
  tensors.read(key, values);
  return {values.row<float>(0), values.row<float>(0) + rows * cols};
}

TEST(ModelTensorsTest, ClaimsEveryFamilysTensors) {
  for (const ArchSpec& spec : architectures()) {
    const ModelConfig config = small_config(std::string(spec.model_type));
    MemorySource source = random_weights(config, spec);
    const ModelTensors tensors(source, config);
    EXPECT_EQ(tensors.keys().size(), source.tensors().size()) << spec.model_type;
    int64_t parameters = 0;
    for (const TensorKey& key : tensors.keys())
      parameters += tensors.shape(key).first * tensors.shape(key).second;
    EXPECT_EQ(parameters, config.parameters()) << spec.model_type;
    EXPECT_EQ(tensors.keys().front().role, Role::embed);
  }
}

TEST(ModelTensorsTest, ReadsByRole) {
  const ModelConfig config = small_config("qwen2");
  MemorySource source = random_weights(config, arch("qwen2"));
  const ModelTensors tensors(source, config);
  const TensorKey key{.layer = 1, .role = Role::up};
  EXPECT_EQ(tensors.name(key), "model.layers.1.mlp.up_proj.weight");
  EXPECT_EQ(read(tensors, key), source.values("model.layers.1.mlp.up_proj.weight"));
  const TensorKey bias{.layer = 0, .role = Role::k, .part = Part::bias};
  EXPECT_EQ(read(tensors, bias), source.values("model.layers.0.self_attn.k_proj.bias"));
  EXPECT_FALSE(tensors.has({.layer = 0, .role = Role::q_norm}));
}

TEST(ModelTensorsTest, NamesWhatDoesNotFit) {
  const ModelConfig config = small_config("llama");
  const MemorySource good = random_weights(config, arch("llama"));
  MemorySource source = good;
  source.remove("model.layers.1.mlp.down_proj.weight");
  EXPECT_THAT(error_of(source, config), HasSubstr("model.layers.1.mlp.down_proj.weight: missing"));

  source.add("model.layers.1.mlp.down_proj.weight", 16, 20, std::vector<float>(320));
  EXPECT_THAT(error_of(source, config),
              HasSubstr("model.layers.1.mlp.down_proj.weight: shape [16, 20], expected [16, 24] "
                        "(intermediate_size)"));

  source = good;
  source.remove("model.norm.weight");
  source.add("model.norm.weight", 1, 12, std::vector<float>(12), 1);
  EXPECT_THAT(error_of(source, config),
              HasSubstr("model.norm.weight: shape [12], expected [16] (hidden_size)"));

  source = good;
  source.add("model.layers.2.mlp.up_proj.weight", 24, 16, std::vector<float>(384));
  EXPECT_THAT(error_of(source, config),
              HasSubstr("model.layers.2.mlp.up_proj.weight: not a tensor"));
}

TEST(ModelTensorsTest, LeavesOutWhatDoesNotCount) {
  ModelConfig config = small_config("llama");
  config.tied_embeddings = true;
  MemorySource source = random_weights(config, arch("llama"));
  source.add("lm_head.weight", 40, 16, std::vector<float>(640));
  source.add("model.layers.0.self_attn.rotary_emb.inv_freq", 1, 4, std::vector<float>(4), 1);
  EXPECT_EQ(error_of(source, config), "no error");
  EXPECT_FALSE(ModelTensors(source, config).has({.role = Role::head}));

  config.attention_bias = false;
  source.add("model.layers.0.self_attn.q_proj.bias", 1, 32, std::vector<float>(32), 1);
  EXPECT_EQ(error_of(source, config), "no error");  // all zero
  source.values("model.layers.0.self_attn.q_proj.bias")[7] = 1;
  EXPECT_THAT(error_of(source, config), HasSubstr("q_proj.bias: not a tensor"));
  config.attention_bias.reset();
  EXPECT_TRUE(ModelTensors(source, config).has({.layer = 0, .role = Role::q, .part = Part::bias}));
  config.attention_bias = true;
  EXPECT_THAT(error_of(source, config), HasSubstr("q_proj.bias: missing"));
}

TEST(ModelTensorsTest, RefusesValuesThatAreNotFinite) {
  const ModelConfig config = small_config("llama");
  MemorySource source = random_weights(config, arch("llama"));
  source.values("model.layers.0.mlp.up_proj.weight")[3 * 16 + 5] =
      std::numeric_limits<float>::quiet_NaN();
  const ModelTensors tensors(source, config);
  try {
    read(tensors, {.layer = 0, .role = Role::up});
    FAIL();
  } catch (const Error& error) {
    EXPECT_THAT(error.what(),
                HasSubstr("model.layers.0.mlp.up_proj.weight: NaN at row 3, column 5"));
  }
}

TEST(ModelTensorsTest, OtherPrefixes) {
  const ModelConfig config = small_config("gemma3");
  const MemorySource plain = random_weights(config, arch("gemma3"));
  MemorySource source;
  for (const StoredTensor& stored : plain.tensors())
    source.add("language_model." + stored.name, stored.rows, stored.cols,
               MemorySource(plain).values(stored.name), stored.rank);
  source.add("vision_tower.patch.weight", 1, 2, {1, 2}, 1);
  const ModelTensors tensors(source, config);
  EXPECT_EQ(tensors.name({.role = Role::embed}), "language_model.model.embed_tokens.weight");
}

// phi3's way: q, k, v in one tensor, gate and up in another.
constexpr TensorRule kFused[] = {
    {Role::embed, "embed_tokens"},
    {Role::attn_norm, "layers.{}.input_layernorm"},
    {Role::q, "layers.{}.self_attn.qkv_proj", Bias::none, {0, 3}},
    {Role::k, "layers.{}.self_attn.qkv_proj", Bias::none, {1, 3}},
    {Role::v, "layers.{}.self_attn.qkv_proj", Bias::none, {2, 3}},
    {Role::o, "layers.{}.self_attn.o_proj"},
    {Role::mlp_norm, "layers.{}.post_attention_layernorm"},
    {Role::gate, "layers.{}.mlp.gate_up_proj", Bias::none, {0, 2}},
    {Role::up, "layers.{}.mlp.gate_up_proj", Bias::none, {1, 2}},
    {Role::down, "layers.{}.mlp.down_proj"},
    {Role::final_norm, "norm"},
    {Role::head, "lm_head"},
};
constexpr Prefix kModel[] = {{"model.", ""}};

TEST(ModelTensorsTest, FusedTensorsAreCut) {
  const ArchSpec fused{.model_type = "fused", .tensors = kFused, .prefixes = kModel};
  const ModelConfig config = small_config("llama");  // q 32 rows, k and v 16 each
  MemorySource source = random_weights(config, fused);
  const ModelTensors tensors(source, config, fused);
  const std::vector<float>& whole = source.values("model.layers.1.self_attn.qkv_proj.weight");
  ASSERT_EQ(whole.size(), 64u * 16);
  const std::vector<float> v = read(tensors, {.layer = 1, .role = Role::v});
  EXPECT_TRUE(std::equal(v.begin(), v.end(), whole.begin() + 48 * 16));
  EXPECT_EQ(tensors.stored({.layer = 1, .role = Role::v}).bytes, 16 * 16 * 4);
}

class ProviderTest : public testing::Test {
 protected:
  ProviderTest() : source_(random_weights(config_, arch("qwen2"))), tensors_(source_, config_) {}

  // y := x Wᵀ + b for one row of ones.
  std::vector<float> product(const WeightProvider::Lease& lease) {
    const Weight& weight = *lease->weight;
    const Tensor x = backend_->allocate(1, weight.cols, DType::f32);
    const Tensor y = backend_->allocate(1, weight.rows, DType::f32);
    backend_->fill(x, 1);
    backend_->linear(x, weight, lease->bias, y);
    return {y.row<float>(0), y.row<float>(0) + weight.rows};
  }

  std::unique_ptr<Backend> backend_ = make_backend("ref", {});
  ModelConfig config_ = small_config("qwen2", 3);
  MemorySource source_;
  ModelTensors tensors_;
};

TEST_F(ProviderTest, StreamedGivesWhatResidentGives) {
  const auto resident = make_provider(*backend_, tensors_, {});
  const auto streamed = make_provider(*backend_, tensors_, {.streamed = true});
  for (int layer = 0; layer < 3; ++layer)
    for (const Role role : {Role::q, Role::down}) {
      const TensorKey key{.layer = layer, .role = role};
      EXPECT_EQ(product(resident->linear(key)), product(streamed->linear(key)));
    }
}

TEST_F(ProviderTest, StreamedHoldsOneLayerAndWhatIsLeased) {
  const auto streamed = make_provider(*backend_, tensors_, {.streamed = true});
  const auto leased = streamed->linear({.layer = 0, .role = Role::q});
  const Weight* kept = leased->weight;
  const std::vector<float> before = product(leased);
  (void)streamed->linear({.layer = 1, .role = Role::q});
  (void)streamed->linear({.layer = 2, .role = Role::q});
  EXPECT_EQ(product(leased), before);
  EXPECT_EQ(streamed->linear({.layer = 0, .role = Role::q})->weight, kept);
}

TEST_F(ProviderTest, ATiedHeadIsTheEmbedding) {
  ModelConfig config = small_config("gemma3_text");
  MemorySource source = random_weights(config, arch("gemma3_text"));
  const ModelTensors tensors(source, config);
  const auto provider = make_provider(*backend_, tensors, {});
  const auto head = provider->linear({.role = Role::head});
  EXPECT_EQ(head->weight->rows, 40);
  float sum = 0;
  for (int i = 0; i < 16; ++i) sum += source.values("model.embed_tokens.weight")[3 * 16 + i];
  EXPECT_NEAR(product(head)[3], sum, 1e-5);
}

TEST_F(ProviderTest, EmbeddingGathersRows) {
  const auto provider = make_provider(*backend_, tensors_, {});
  const std::vector<int32_t> ids = {7, 3, 7};
  const EmbeddingView view = provider->embedding(ids);
  ASSERT_EQ(view.ids.size(), 3u);
  EXPECT_EQ(view.ids[0], view.ids[2]);
  const auto& table = source_.values("model.embed_tokens.weight");
  for (size_t i = 0; i < 3; ++i)
    EXPECT_EQ(view.table.row<float>(view.ids[i])[4], table[static_cast<size_t>(ids[i] * 16 + 4)]);
  EXPECT_THROW(provider->embedding(std::vector<int32_t>{40}), Error);
}

TEST_F(ProviderTest, OverlayReplacesTheWeightAndKeepsTheBias) {
  const auto base = make_provider(*backend_, tensors_, {.streamed = true});
  OverlayProvider overlay(*base);
  const TensorKey key{.layer = 1, .role = Role::q};
  const Tensor zeros = backend_->allocate(32, 16, DType::f32);
  backend_->fill(zeros, 0);
  overlay.set(key, backend_->prepare(zeros, DType::f32));
  EXPECT_EQ(product(overlay.linear(key)), source_.values("model.layers.1.self_attn.q_proj.bias"));
  const TensorKey other{.layer = 1, .role = Role::k};
  EXPECT_EQ(product(overlay.linear(other)), product(base->linear(other)));
  overlay.clear(1);
  EXPECT_EQ(product(overlay.linear(key)), product(base->linear(key)));
}

}  // namespace
}  // namespace halftone
