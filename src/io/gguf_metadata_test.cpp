// What GGUF keys become: configuration, tokenizer data, names of tensors.
#include <gtest/gtest.h>

#include <functional>

#include "base/error.h"
#include "base/temporary_directory.h"
#include "io/gguf.h"
#include "io/gguf_rope.h"
#include "io/gguf_test_file.h"

namespace halftone {
namespace {

Metadata metadata_of(const GgufTestFile& file) {
  const TemporaryDirectory place;
  write_test_file(place.file("model.gguf"), file.bytes());
  return gguf_metadata(GgufFile(place.file("model.gguf")));
}

TEST(GgufMetadata, LlamaKeysBecomeConfigJson) {
  GgufTestFile file = tiny_gguf("llama");
  file.u32("llama.rope.dimension_count", 16).u32("tokenizer.ggml.bos_token_id", 0);
  file.text("tokenizer.chat_template", "{{ messages }}");
  const Metadata metadata = metadata_of(file);
  EXPECT_EQ(metadata.config, Json::parse(R"({
      "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 32,
      "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2,
      "num_key_value_heads": 1, "head_dim": 16, "vocab_size": 4, "bos_token_id": 0,
      "eos_token_id": 3, "max_position_embeddings": 128, "rms_norm_eps": 1e-06,
      "tie_word_embeddings": true, "torch_dtype": "float32", "rope_theta": 10000.0,
      "hidden_act": "silu", "attention_bias": false, "mlp_bias": false, "use_cache": true})"));
  EXPECT_EQ(metadata.generation_config, Json::parse(R"({"bos_token_id": 0, "eos_token_id": 3})"));
  EXPECT_EQ(metadata.chat_template, "{{ messages }}");
  const auto& tokenizer = metadata.tokenizer.gguf;
  ASSERT_TRUE(tokenizer.has_value());
  EXPECT_EQ(tokenizer->model, "gpt2");
  EXPECT_EQ(tokenizer->tokens, (std::vector<std::string>{"a", "b", "ab", "<eos>"}));
  EXPECT_EQ(tokenizer->types, (std::vector<int32_t>{1, 1, 1, 3}));
  EXPECT_EQ(tokenizer->scores, (std::vector<float>{0, 0, -1, 0}));
  EXPECT_EQ(tokenizer->merges, (std::vector<std::string>{"a b"}));
  EXPECT_EQ(tokenizer->bos, 0);
  EXPECT_EQ(tokenizer->eos, 3);
  EXPECT_FALSE(tokenizer->unknown || tokenizer->padding || tokenizer->add_bos);
}

TEST(GgufMetadata, ShortValuesAreForPeople) {
  GgufTestFile file = tiny_gguf("llama");
  file.text("general.description", "two\nlines, and " + std::string(100, 'x'));
  std::map<std::string, std::string> keys;
  for (const auto& [key, value] : metadata_of(file).gguf_keys) keys[key] = value;
  EXPECT_EQ(keys["tokenizer.ggml.tokens"], "[4 strings]");
  EXPECT_EQ(keys["llama.attention.layer_norm_rms_epsilon"], "1e-06");
  EXPECT_EQ(keys["llama.block_count"], "1");
  EXPECT_EQ(keys["general.description"], "two lines, and " + std::string(45, 'x') + "…");
}

TEST(GgufMetadata, Gemma3FillsInWhatGgufLeavesOut) {
  GgufTestFile file = tiny_gguf("gemma3");
  file.keys.erase(file.keys.begin() + 2);  // block_count
  file.u32("gemma3.block_count", 7).u32("gemma3.attention.sliding_window", 8);
  file.u32("gemma3.attention.key_length", 16).u32("gemma3.attention.value_length", 16);
  file.u32("tokenizer.ggml.eot_token_id", 2);
  const Metadata metadata = metadata_of(file);
  EXPECT_EQ(metadata.config["model_type"], "gemma3_text");
  EXPECT_EQ(metadata.config["hidden_activation"], "gelu_pytorch_tanh");
  EXPECT_EQ(metadata.config["query_pre_attn_scalar"], 16);
  EXPECT_EQ(metadata.config["rope_local_base_freq"], 10000.0);
  EXPECT_EQ(metadata.config["sliding_window"], 8);
  EXPECT_TRUE(metadata.config["final_logit_softcapping"].is_null());
  const Json& types = metadata.config["layer_types"];
  ASSERT_EQ(types.size(), 7u);
  for (size_t i = 0; i < 7; ++i) {
    EXPECT_EQ(types[i], i == 5 ? "full_attention" : "sliding_attention");
  }
  EXPECT_EQ(metadata.generation_config["eos_token_id"], Json::array({3, 2}));
}

TEST(GgufMetadata, HeadOfItsOwnIsNotTied) {
  GgufTestFile file = tiny_gguf("qwen2");
  file.tensor("output.weight", {32, 4}, std::vector<float>(128));
  const Json config = metadata_of(file).config;
  EXPECT_EQ(config["tie_word_embeddings"], false);
  EXPECT_EQ(config["model_type"], "qwen2");
}

TEST(GgufMetadata, YarnAndLinearScaling) {
  GgufTestFile file = tiny_gguf("qwen3");
  file.text("qwen3.rope.scaling.type", "yarn").f32("qwen3.rope.scaling.factor", 4);
  file.u32("qwen3.rope.scaling.original_context_length", 32768);
  EXPECT_EQ(metadata_of(file).config["rope_scaling"],
            Json::parse(R"({"rope_type": "yarn", "factor": 4.0,
                            "original_max_position_embeddings": 32768})"));
  GgufTestFile linear = tiny_gguf("gemma3");
  linear.text("gemma3.rope.scaling.type", "linear").f32("gemma3.rope.scaling.factor", 8);
  EXPECT_EQ(metadata_of(linear).config["rope_scaling"],
            Json::parse(R"({"rope_type": "linear", "factor": 8.0})"));
}

// Llama 3.2's head: 64 wide, theta 500000, factor 32.
TEST(GgufRope, Llama3sParametersComeBack) {
  const Llama3Scaling scaling{32, 1, 4, 8192};
  std::vector<float> divisors;
  for (const double d : llama3_divisors(scaling, 500000, 64)) {
    divisors.push_back(static_cast<float>(d));
  }
  EXPECT_EQ(divisors.front(), 1);
  EXPECT_EQ(divisors.back(), 32);
  const auto found = recover_llama3(divisors, 500000);
  ASSERT_TRUE(found.has_value());
  EXPECT_EQ(found->factor, 32);
  EXPECT_EQ(found->low_freq_factor, 1);
  EXPECT_EQ(found->high_freq_factor, 4);
  EXPECT_EQ(found->original_positions, 8192);
  divisors[16] *= 1.01f;
  EXPECT_FALSE(recover_llama3(divisors, 500000).has_value());
}

TEST(GgufMetadata, RopeDivisorsBecomeParametersOrStay) {
  GgufTestFile file = tiny_gguf("llama");
  std::vector<float> divisors;
  for (const double d : llama3_divisors({8, 1, 4, 8192}, 10000, 16)) {
    divisors.push_back(static_cast<float>(d));
  }
  file.tensor("rope_freqs.weight", {8}, divisors);
  EXPECT_EQ(metadata_of(file).config["rope_scaling"]["rope_type"], "llama3");
  EXPECT_EQ(metadata_of(file).config["rope_scaling"]["factor"], 8);

  GgufTestFile odd = tiny_gguf("llama");
  odd.tensor("rope_freqs.weight", {8}, {1, 1, 2, 3, 4, 5, 6, 7});
  const Json config = metadata_of(odd).config;
  EXPECT_FALSE(config.contains("rope_scaling"));
  EXPECT_EQ(config["rope_freq_factors"], Json::array({1.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0}));
}

TEST(GgufMetadata, BadKeysAreRefusedByName) {
  struct Case {
    const char* message;
    std::function<void(GgufTestFile&)> spoil;
  };
  const auto drop = [](GgufTestFile& file, const std::string& name) {
    std::erase_if(file.keys,
                  [&](const std::string& k) { return k.find(name) != std::string::npos; });
  };
  const std::vector<Case> cases = {
      {"architecture rwkv, expected one of llama, qwen2, qwen3, gemma3",
       [&](auto& f) {
         drop(f, "architecture");
         f.text("general.architecture", "rwkv");
       }},
      {"llama.embedding_length is missing", [&](auto& f) { drop(f, "embedding_length"); }},
      {"llama.embedding_length: 0, expected",
       [&](auto& f) {
         drop(f, "embedding_length");
         f.u32("llama.embedding_length", 0);
       }},
      {"llama.attention.head_count: 0",
       [&](auto& f) {
         drop(f, "head_count");
         f.u32("llama.attention.head_count", 0);
       }},
      {"llama.block_count: two, expected an integer",
       [&](auto& f) {
         drop(f, "block_count");
         f.text("llama.block_count", "two");
       }},
      {"rms_epsilon: nan",
       [&](auto& f) {
         drop(f, "epsilon");
         f.f32("llama.attention.layer_norm_rms_epsilon", NAN);
       }},
      {"mixture of 8 experts", [](auto& f) { f.u32("llama.expert_count", 8); }},
      {"value_length", [](auto& f) { f.u32("llama.attention.value_length", 4); }},
      {"dimension_count",
       [](auto& f) {
         f.u32("llama.rope.dimension_count", 8).u32("llama.attention.key_length", 16);
       }},
      {"rope.scaling.type su", [](auto& f) { f.text("llama.rope.scaling.type", "su"); }},
      {"token_embd.weight is missing", [](auto& f) { f.tensors.erase(f.tensors.begin()); }},
      {"eos_token_id: 4, expected an integer from 0 to 3",
       [&](auto& f) {
         drop(f, "eos_token");
         f.u32("tokenizer.ggml.eos_token_id", 4);
       }},
      {"token_type: 1 elements, expected 4",
       [&](auto& f) {
         drop(f, "token_type");
         f.template numbers<int32_t>("tokenizer.ggml.token_type", 5, {1});
       }},
      {"tokens: element 1 is not UTF-8",
       [&](auto& f) {
         drop(f, "ggml.tokens");
         f.texts("tokenizer.ggml.tokens", {"a", "\xff"});
       }},
      {"tokens: expected an array of strings",
       [&](auto& f) {
         drop(f, "ggml.tokens");
         f.u32("tokenizer.ggml.tokens", 1);
       }},
      {"rope_freqs.weight",
       [](auto& f) {
         f.tensor("rope_freqs.weight", {4}, {1, 2, 3, 4});
       }},
      {"positive divisors",
       [](auto& f) { f.tensor("rope_freqs.weight", {8}, std::vector<float>(8, 0)); }},
  };
  for (const Case& bad : cases) {
    GgufTestFile file = tiny_gguf("llama");
    bad.spoil(file);
    try {
      metadata_of(file);
      ADD_FAILURE() << bad.message;
    } catch (const Error& error) {
      EXPECT_EQ(error.exit(), Exit::bad_input);
      EXPECT_NE(std::string(error.what()).find(bad.message), std::string::npos) << error.what();
    }
  }
}

}  // namespace
}  // namespace halftone
