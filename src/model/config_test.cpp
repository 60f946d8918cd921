#include "model/config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "base/error.h"
#include "model/arch_table.h"

namespace halftone {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

// A small llama; `changes` are merged in, null removing a key.
ModelConfig read(const std::string& changes = "{}") {
  Json config = parse_json(R"({"model_type": "llama", "hidden_size": 64, "num_hidden_layers": 2,
      "num_attention_heads": 4, "num_key_value_heads": 2, "intermediate_size": 96, "vocab_size": 100,
      "rms_norm_eps": 1e-5})",
                           "config.json");
  config.merge_patch(parse_json(changes, "changes"));
  Metadata metadata;
  metadata.origin = "config.json";
  metadata.config = config;
  return read_config(metadata);
}

std::string error_of(const std::string& changes) {
  try {
    read(changes);
  } catch (const Error& error) {
    EXPECT_EQ(error.exit(), Exit::bad_input);
    return error.what();
  }
  return "no error";
}

TEST(ConfigTest, ReadsASmallLlama) {
  const ModelConfig config = read();
  EXPECT_EQ(config.head_dim, 16);
  EXPECT_EQ(config.kv_heads, 2);
  EXPECT_EQ(config.max_positions, 2048);
  EXPECT_FLOAT_EQ(config.norm.epsilon, 1e-5f);
  EXPECT_DOUBLE_EQ(config.attn_scale, 0.25);
  EXPECT_FALSE(config.tied_embeddings);
  EXPECT_THAT(config.window, ElementsAre(0, 0));
  // embed and head, two norms of 64 and seven linears a block, the last norm.
  const int64_t block = 2 * 64 + 2 * 64 * 64 + 2 * 32 * 64 + 3 * 96 * 64;
  EXPECT_EQ(config.parameters(), 2 * 100 * 64 + 2 * block + 64);
}

TEST(ConfigTest, NamesWhatIsWrong) {
  EXPECT_THAT(error_of(R"({"hidden_size": 0})"), HasSubstr("hidden_size"));
  EXPECT_THAT(error_of(R"({"hidden_size": null})"), HasSubstr("hidden_size"));
  EXPECT_THAT(error_of(R"({"hidden_size": 66})"),
              HasSubstr("hidden_size: got 66, expected a multiple of 4 (num_attention_heads)"));
  EXPECT_THAT(error_of(R"({"num_hidden_layers": 5000})"), HasSubstr("num_hidden_layers"));
  EXPECT_THAT(error_of(R"({"num_key_value_heads": 3})"),
              HasSubstr("num_key_value_heads: got 3, expected a divisor of 4"));
  EXPECT_THAT(error_of(R"({"num_key_value_heads": 8})"), HasSubstr("num_key_value_heads"));
  EXPECT_THAT(error_of(R"({"head_dim": 15})"), HasSubstr("head_dim: got 15, expected an even"));
  EXPECT_THAT(error_of(R"({"vocab_size": -1})"), HasSubstr("vocab_size"));
  EXPECT_THAT(error_of(R"({"rms_norm_eps": 0})"), HasSubstr("rms_norm_eps"));
  EXPECT_THAT(error_of(R"({"intermediate_size": "96"})"), HasSubstr("intermediate_size"));
  EXPECT_THAT(error_of(R"({"hidden_act": "relu2"})"), HasSubstr("relu2"));
  EXPECT_THAT(error_of(R"({"rope_theta": -1})"), HasSubstr("rope_theta"));
  EXPECT_THAT(error_of(R"({"partial_rotary_factor": 0.5})"), HasSubstr("partial_rotary_factor"));
  EXPECT_THAT(error_of(R"({"rope_scaling": {"type": "longrope"}})"), HasSubstr("longrope"));
  EXPECT_THAT(error_of(R"({"rope_scaling": {"type": "linear"}})"), HasSubstr("factor"));
}

TEST(ConfigTest, UnknownFamilyListsTheKnown) {
  try {
    read(R"({"model_type": "mamba"})");
    FAIL();
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("\"mamba\""));
    for (const ArchSpec& arch : architectures())
      EXPECT_THAT(error.hint(), HasSubstr(std::string(arch.model_type)));
  }
}

TEST(ConfigTest, WindowsByFamily) {
  EXPECT_THAT(read(R"({"sliding_window": 8})").window, ElementsAre(0, 0));
  EXPECT_THAT(read(R"({"model_type": "mistral", "sliding_window": 8})").window, ElementsAre(8, 8));
  EXPECT_THAT(read(R"({"model_type": "mistral"})").window, ElementsAre(4096, 4096));
  // A key that is there and null, which merge_patch cannot write.
  Metadata metadata;
  metadata.origin = "config.json";
  metadata.config = parse_json(
      R"({"model_type": "mistral", "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 8,
          "intermediate_size": 96, "vocab_size": 100, "sliding_window": null})",
      "config.json");
  EXPECT_THAT(read_config(metadata).window, ElementsAre(0, 0));

  EXPECT_THAT(read(R"({"model_type": "qwen2", "sliding_window": 8})").window, ElementsAre(0, 0));
  EXPECT_THAT(read(R"({"model_type": "qwen2", "use_sliding_window": true, "sliding_window": 8,
                       "max_window_layers": 1})")
                  .window,
              ElementsAre(0, 8));
  EXPECT_THAT(read(R"({"model_type": "qwen3", "use_sliding_window": true, "sliding_window": 8,
                       "layer_types": ["sliding_attention", "full_attention"]})")
                  .window,
              ElementsAre(8, 0));
  EXPECT_THAT(read(R"({"model_type": "gemma3_text", "sliding_window": 8, "num_hidden_layers": 4,
                       "sliding_window_pattern": 3})")
                  .window,
              ElementsAre(8, 8, 0, 8));
  EXPECT_THAT(error_of(R"({"model_type": "qwen2", "use_sliding_window": true,
                           "layer_types": ["chunked_attention", "full_attention"]})"),
              HasSubstr("chunked_attention"));
  EXPECT_THAT(error_of(R"({"model_type": "gemma3_text", "layer_types": ["full_attention"]})"),
              HasSubstr("layer_types: got 1 entries, expected 2"));
}

TEST(ConfigTest, GemmaNestedOldAndNew) {
  const ModelConfig old_keys = read(
      R"({"model_type": "gemma3", "text_config": {"hidden_size": 32, "num_hidden_layers": 2,
          "rope_theta": 5e5, "rope_local_base_freq": 2e4, "rope_scaling": {"rope_type": "linear",
          "factor": 8}, "query_pre_attn_scalar": 64}})");
  EXPECT_EQ(old_keys.hidden, 32);
  EXPECT_EQ(old_keys.heads, 8);
  EXPECT_EQ(old_keys.head_dim, 256);
  EXPECT_EQ(old_keys.activation, Activation::gelu_tanh);
  EXPECT_DOUBLE_EQ(old_keys.rope.theta, 5e5);
  EXPECT_EQ(old_keys.rope.scaling, RopeScaling::linear);
  EXPECT_DOUBLE_EQ(old_keys.rope.factor, 8);
  EXPECT_DOUBLE_EQ(old_keys.local_rope.theta, 2e4);
  EXPECT_EQ(old_keys.local_rope.scaling, RopeScaling::none);
  EXPECT_DOUBLE_EQ(old_keys.attn_scale, 0.125);
  EXPECT_DOUBLE_EQ(old_keys.embed_scale, std::sqrt(32.0));
  EXPECT_FLOAT_EQ(old_keys.norm.gain_offset, 1);
  EXPECT_TRUE(old_keys.tied_embeddings);

  const ModelConfig new_keys = read(
      R"({"model_type": "gemma3_text", "rope_parameters": {
          "full_attention": {"rope_type": "default", "rope_theta": 3e5},
          "sliding_attention": {"rope_type": "default", "rope_theta": 1e3}}})");
  EXPECT_DOUBLE_EQ(new_keys.rope.theta, 3e5);
  EXPECT_DOUBLE_EQ(new_keys.local_rope.theta, 1e3);
}

TEST(ConfigTest, RopeParametersOfVersion5) {
  const ModelConfig config = read(
      R"({"rope_parameters": {"rope_type": "llama3", "rope_theta": 5e5, "factor": 8,
          "low_freq_factor": 1, "high_freq_factor": 4, "original_max_position_embeddings": 64}})");
  EXPECT_EQ(config.rope.scaling, RopeScaling::llama3);
  EXPECT_DOUBLE_EQ(config.rope.theta, 5e5);
  EXPECT_EQ(config.rope.original_positions, 64);
}

TEST(ConfigTest, EosFromGenerationConfigFirst) {
  EXPECT_THAT(read(R"({"eos_token_id": 2})").eos, ElementsAre(2));
  EXPECT_THAT(read(R"({"eos_token_id": [3, 5, 128009]})").eos, ElementsAre(3, 5));
  EXPECT_THAT(error_of(R"({"eos_token_id": -1})"), HasSubstr("eos_token_id"));
}

TEST(RopeTableTest, WorkedExample) {
  // θ = 10000, four pairs: 1, 1/10, 1/100, 1/1000.
  const RopeTable plain = rope_table({.theta = 10000}, 8);
  ASSERT_EQ(plain.frequencies.size(), 4u);
  for (int i = 0; i < 4; ++i)
    EXPECT_NEAR(plain.frequencies[static_cast<size_t>(i)] * std::pow(10, i), 1, 1e-6);
  EXPECT_EQ(plain.magnitude, 1);

  const RopeTable halved =
      rope_table({.theta = 10000, .scaling = RopeScaling::linear, .factor = 2}, 8);
  EXPECT_FLOAT_EQ(halved.frequencies[0], 0.5f);

  const RopeTable divided = rope_table({.theta = 10000, .factors = {1, 2, 4, 8}}, 8);
  EXPECT_FLOAT_EQ(divided.frequencies[3], 0.001f / 8);
}

TEST(RopeTableTest, Llama3KeepsShortWavesAndStretchesLongOnes) {
  const RopeTable table = rope_table({.theta = 10000,
                                      .scaling = RopeScaling::llama3,
                                      .factor = 8,
                                      .low_freq_factor = 1,
                                      .high_freq_factor = 4,
                                      .original_positions = 400},
                                     8);
  EXPECT_FLOAT_EQ(table.frequencies[0], 1);          // a wave of 6 positions, under 400 / 4
  EXPECT_FLOAT_EQ(table.frequencies[2], 0.01f / 8);  // of 628, over 400
  const float smooth = (400 * 0.1f / (2 * 3.14159265f) - 1) / 3;  // of 63: kept
  EXPECT_GT(smooth, 1);
  EXPECT_FLOAT_EQ(table.frequencies[1], 0.1f);
}

TEST(RopeTableTest, YarnBlendsAndScalesAttention) {
  const ModelConfig config = read(R"({"rope_scaling": {"rope_type": "yarn", "factor": 4,
               "original_max_position_embeddings": 512}})");
  EXPECT_NEAR(config.rope.attention_factor, 0.1 * std::log(4.0) + 1, 1e-12);
  const RopeTable plain = rope_table({.theta = 10000}, 16);
  const RopeTable table = rope_table(config.rope, 16);
  EXPECT_FLOAT_EQ(table.frequencies[0], plain.frequencies[0]);
  EXPECT_FLOAT_EQ(table.frequencies[7], plain.frequencies[7] / 4);
  EXPECT_LT(table.frequencies[2], plain.frequencies[2]);
  EXPECT_GT(table.frequencies[2], plain.frequencies[2] / 4);
}

}  // namespace
}  // namespace halftone
