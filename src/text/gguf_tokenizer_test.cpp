#include "text/gguf_tokenizer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "base/error.h"
#include "text/tokenizer.h"

namespace halftone {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

Tokenizer load(const GgufTokenizer& gguf) {
  Metadata metadata;
  metadata.origin = "model.gguf";
  metadata.tokenizer.gguf = gguf;
  return Tokenizer::load(metadata);
}

GgufTokenizer arrays_of(const Json& json) {
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
  const auto flag = [&](const char* key) {
    return json.contains(key) ? std::optional(json[key].get<bool>()) : std::nullopt;
  };
  gguf.bos = id("bos");
  gguf.eos = id("eos");
  gguf.unknown = id("unknown");
  gguf.add_bos = flag("add_bos");
  gguf.add_space_prefix = flag("add_space_prefix");
  return gguf;
}

// SentencePiece's example: "▁ab" can be made in two ways.
GgufTokenizer tiny() {
  GgufTokenizer gguf;
  gguf.model = "llama";
  gguf.tokens = {"<unk>", "<s>", "</s>", "<0x41>", "\u2581a", "ab", "\u2581ab", "\u2581", "a", "b"};
  gguf.types = {2, 3, 3, 6, 1, 1, 1, 1, 1, 1};
  gguf.scores = {0, 0, 0, 0, -1, -2, -3, -4, -5, -6};
  gguf.bos = 1;
  gguf.eos = 2;
  gguf.unknown = 0;
  return gguf;
}

TEST(GgufTokenizer, WorkedExample) {
  const TokenizerSpec spec = tokenizer_spec_from_gguf(tiny(), "tiny");
  std::vector<std::string> merges;
  for (const Merge& merge : spec.merges) {
    merges.push_back(*spec.vocabulary.piece(merge.left) + " " +
                     *spec.vocabulary.piece(merge.right));
  }
  EXPECT_THAT(merges, ElementsAre("\u2581 a", "a b", "\u2581a b", "\u2581 ab"));
  const Tokenizer tokenizer = load(tiny());
  EXPECT_THAT(tokenizer.encode("ab aA", true), ElementsAre(1, 6, 4, 3));
  EXPECT_EQ(tokenizer.decode({1, 6, 4, 3}), "ab aA");
  EXPECT_EQ(tokenizer.kind(), "BPE with byte fallback");
  EXPECT_EQ(tokenizer.bos(), 1);
}

class GgufGolden : public ::testing::TestWithParam<const char*> {};

TEST_P(GgufGolden, ArraysGiveTheIdsOfTheLibrary) {
  const Json data = read_json_file(std::string(HALFTONE_SOURCE_DIR) + "/tests/data/tokenizers/" +
                                   GetParam() + ".json");
  const GgufTokenizer gguf = arrays_of(data["gguf"]);
  const Tokenizer tokenizer = load(gguf);
  for (const Json& item : data["cases"]) {
    if (!item.contains("text")) continue;
    SCOPED_TRACE(item.dump());
    const auto ids = item["ids"].get<std::vector<int32_t>>();
    const auto text = item["text"].get<std::string>();
    EXPECT_EQ(tokenizer.encode(text, false), ids);
    EXPECT_EQ(tokenizer.encode(text, true),
              item.value("special", item["ids"]).get<std::vector<int32_t>>());
    EXPECT_EQ(tokenizer.decode(ids), item["decoded"].get<std::string>());
  }
  // The files are the same tokenizer, and so is the one that they were made from.
  Metadata files;
  files.tokenizer.tokenizer_json = tokenizer_files_from_gguf(gguf, "").tokenizer_json;
  EXPECT_EQ(Tokenizer::load(files).fingerprint(), tokenizer.fingerprint());
}

INSTANTIATE_TEST_SUITE_P(Kinds, GgufGolden,
                         ::testing::Values("gpt2", "smollm", "llama3", "qwen2", "llama2", "gemma"),
                         [](const auto& test) { return std::string(test.param); });

TEST(GgufTokenizer, WritesTheFilesAroundIt) {
  const TokenizerTexts texts = tokenizer_files_from_gguf(tiny(), "{{ \"x\n\" }}");
  const Json config = parse_json(texts.tokenizer_config_json, "tokenizer_config.json");
  EXPECT_EQ(config["chat_template"], "{{ \"x\n\" }}");
  EXPECT_EQ(config["bos_token"], "<s>");
  EXPECT_EQ(config["unk_token"], "<unk>");
  EXPECT_FALSE(config.contains("pad_token"));
  EXPECT_EQ(parse_json(texts.special_tokens_map_json, "map")["eos_token"], "</s>");
}

TEST(GgufTokenizer, AddsBosAndEosAsTheFlagsSay) {
  GgufTokenizer gguf = tiny();
  gguf.add_bos = false;
  EXPECT_THAT(load(gguf).encode("", true), IsEmpty());
  EXPECT_EQ(load(gguf).bos(), std::nullopt);
  gguf.add_bos = true;
  gguf.add_eos = true;
  EXPECT_THAT(load(gguf).encode("", true), ElementsAre(1, 2));
  gguf.bos.reset();
  EXPECT_THAT(load(gguf).encode("", true), ElementsAre(2));
}

TEST(GgufTokenizer, EveryPreTokenizerThatIsNamedWorks) {
  GgufTokenizer gguf;
  gguf.model = "gpt2";
  gguf.tokens = {"a", "1", "\u0120"};
  for (const char* pre :
       {"default", "gpt-2", "smollm", "qwen2", "qwen35", "llama-bpe", "tekken", "gpt-4o"}) {
    gguf.pre = pre;
    EXPECT_THAT(load(gguf).encode("a 11", false), ElementsAre(0, 2, 1, 1)) << pre;
  }
}

std::string refusal(const GgufTokenizer& gguf) {
  try {
    load(gguf);
  } catch (const Error& error) {
    EXPECT_EQ(error.exit(), Exit::bad_input);
    EXPECT_THAT(error.what(), HasSubstr("model.gguf"));
    return error.what();
  }
  return "no error";
}

TEST(GgufTokenizer, NamesWhatDoesNotFit) {
  const auto with = [](auto change) {
    GgufTokenizer gguf = tiny();
    change(gguf);
    return refusal(gguf);
  };
  EXPECT_THAT(with([](auto& gguf) { gguf.model = "t5"; }), HasSubstr("t5"));
  EXPECT_THAT(with([](auto& gguf) { gguf.model = "gpt2", gguf.pre = "klingon"; }),
              testing::AllOf(HasSubstr("klingon"), HasSubstr("qwen2")));
  EXPECT_THAT(with([](auto& gguf) { gguf.tokens.clear(); }), HasSubstr("0 tokens"));
  EXPECT_THAT(with([](auto& gguf) { gguf.types.pop_back(); }), HasSubstr("token_type"));
  EXPECT_THAT(with([](auto& gguf) { gguf.scores.pop_back(); }), HasSubstr("scores"));
  EXPECT_THAT(with([](auto& gguf) { gguf.scores[5] = NAN; }), HasSubstr("token 5"));
  EXPECT_THAT(with([](auto& gguf) { gguf.tokens[5] = "a"; }), HasSubstr("twice"));
  EXPECT_THAT(with([](auto& gguf) { gguf.tokens[5] = "\xff"; }), HasSubstr("token 5"));
  EXPECT_THAT(with([](auto& gguf) { gguf.bos = 10; }), HasSubstr("bos_token_id"));
  EXPECT_THAT(with([](auto& gguf) { gguf.eos = -1; }), HasSubstr("eos_token_id"));
  EXPECT_THAT(with([](auto& gguf) { gguf.merges = {"a x"}; }), HasSubstr("a x"));
  EXPECT_THAT(with([](auto& gguf) { gguf.merges = {"a"}; }), HasSubstr("merges"));
  EXPECT_THAT(with([](auto& gguf) { gguf.merges = {""}; }), HasSubstr("merges"));
}

}  // namespace
}  // namespace halftone
