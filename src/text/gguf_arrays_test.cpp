// A GGUF's arrays → tokenizer.json → arrays: the same tokens, and the ids that the library gives.
#include "text/gguf_arrays.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "text/tokenizer.h"

namespace halftone {
namespace {

using ::testing::HasSubstr;

struct Golden {
  Json data;
  Metadata metadata;  // of a directory with tokenizer.json

  explicit Golden(const std::string& name) {
    data = read_json_file(std::string(HALFTONE_SOURCE_DIR) + "/tests/data/tokenizers/" + name +
                          ".json");
    const Json& json = data["gguf"];
    GgufTokenizer gguf;
    gguf.model = json["model"].get<std::string>();
    gguf.pre = json["pre"].get<std::string>();
    gguf.tokens = json["tokens"].get<std::vector<std::string>>();
    gguf.types = json["types"].get<std::vector<int32_t>>();
    gguf.scores = json["scores"].get<std::vector<float>>();
    gguf.merges = json["merges"].get<std::vector<std::string>>();
    const auto id = [&](const char* key) {
      return json.contains(key) ? std::optional(json[key].get<int32_t>()) : std::nullopt;
    };
    gguf.bos = id("bos");
    gguf.eos = id("eos");
    gguf.unknown = id("unknown");
    if (json.contains("add_bos")) gguf.add_bos = json["add_bos"].get<bool>();
    if (json.contains("add_space_prefix"))
      gguf.add_space_prefix = json["add_space_prefix"].get<bool>();
    const TokenizerTexts texts = tokenizer_files_from_gguf(gguf, "");
    metadata.origin = name + "/config.json";
    metadata.config = Json::object();
    metadata.tokenizer.tokenizer_json = texts.tokenizer_json;
    metadata.tokenizer.tokenizer_config_json = texts.tokenizer_config_json;
  }
};

class GgufArrays : public ::testing::TestWithParam<const char*> {};

TEST_P(GgufArrays, GiveTheIdsOfTheLibrary) {
  const Golden golden(GetParam());
  const auto rows = static_cast<int64_t>(golden.data["gguf"]["tokens"].size());
  Metadata again;
  again.origin = "model.gguf";
  again.tokenizer.gguf = gguf_tokenizer_of(golden.metadata, rows + 3);
  EXPECT_EQ(again.tokenizer.gguf->tokens.back(), "[PAD" + std::to_string(rows + 2) + "]");
  EXPECT_EQ(again.tokenizer.gguf->types.back(), 5);
  EXPECT_EQ(again.tokenizer.gguf->model, golden.data["gguf"]["model"]);
  const Tokenizer tokenizer = Tokenizer::load(again);
  for (const Json& item : golden.data["cases"]) {
    if (!item.contains("text")) continue;
    SCOPED_TRACE(item.dump());
    const auto text = item["text"].get<std::string>();
    EXPECT_EQ(tokenizer.encode(text, false), item["ids"].get<std::vector<int32_t>>());
    EXPECT_EQ(tokenizer.encode(text, true),
              item.value("special", item["ids"]).get<std::vector<int32_t>>());
  }
}

INSTANTIATE_TEST_SUITE_P(Kinds, GgufArrays,
                         ::testing::Values("gpt2", "smollm", "llama3", "qwen2", "llama2", "gemma"),
                         [](const auto& test) { return std::string(test.param); });

TEST(GgufArraysOf, NamePreTokenizersAsLlamaCppDoes) {
  const std::pair<const char*, const char*> names[] = {
      {"gpt2", "gpt-2"}, {"smollm", "smollm"}, {"qwen2", "qwen2"}, {"llama3", "llama-bpe"}};
  for (const auto& [data, pre] : names) {
    const Golden golden(data);
    const auto rows = static_cast<int64_t>(golden.data["gguf"]["tokens"].size());
    EXPECT_EQ(gguf_tokenizer_of(golden.metadata, rows).pre, pre);
  }
}

TEST(GgufArraysOf, RefuseWhatAGgufCannotHold) {
  Golden golden("gpt2");
  try {
    gguf_tokenizer_of(golden.metadata, 5);
    FAIL();
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("expected at most 5"));
  }
  std::string& text = golden.metadata.tokenizer.tokenizer_json;
  const size_t at = text.find("\"use_regex\": true");
  ASSERT_NE(at, std::string::npos);
  text.replace(at, 17, "\"use_regex\": false");
  EXPECT_THROW(gguf_tokenizer_of(golden.metadata, 100000), Error);
  golden.metadata.tokenizer.tokenizer_json.clear();
  EXPECT_THROW(gguf_tokenizer_of(golden.metadata, 100000), Error);
}

}  // namespace
}  // namespace halftone
