#include "text/tokenizer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "base/file.h"
#include "text/tokenizer_spec.h"

namespace halftone {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

Tokenizer tokenizer_of(const std::string& tokenizer_json) {
  Metadata metadata;
  metadata.tokenizer.tokenizer_json = tokenizer_json;
  return Tokenizer::load(metadata);
}

Json golden(const std::string& name) {
  return read_json_file(std::string(HALFTONE_SOURCE_DIR) + "/tests/data/tokenizers/" + name +
                        ".json");
}

std::string text_of(const Json& item) {
  if (item.contains("text")) return item["text"].get<std::string>();
  const auto hex = item["hex"].get<std::string>();
  std::string bytes;
  for (size_t i = 0; i < hex.size(); i += 2) {
    bytes += static_cast<char>(std::stoi(hex.substr(i, 2), nullptr, 16));
  }
  return bytes;
}

std::vector<int32_t> ids_of(const Json& list) { return list.get<std::vector<int32_t>>(); }

// "ab" and "abc" with the merges a+b, ab+c.
constexpr const char* kTiny = R"({"version": "1.0",
  "added_tokens": [{"id": 5, "content": "<s>", "single_word": false, "lstrip": false, "rstrip": false,
                    "normalized": false, "special": true}],
  "normalizer": null, "pre_tokenizer": null, "decoder": {"type": "Fuse"},
  "post_processor": {"type": "TemplateProcessing",
    "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
    "pair": [], "special_tokens": {"<s>": {"id": "<s>", "ids": [5], "tokens": ["<s>"]}}},
  "model": {"type": "BPE", "vocab": {"a": 0, "b": 1, "c": 2, "ab": 3, "abc": 4},
            "merges": ["a b", ["ab", "c"]]}})";

TEST(Tokenizer, WorkedExample) {
  const Tokenizer tokenizer = tokenizer_of(kTiny);
  // a b c c a b → ab c c ab → abc c ab
  EXPECT_THAT(tokenizer.encode("abccab", false), ElementsAre(4, 2, 3));
  EXPECT_THAT(tokenizer.encode("ab<s>c", true), ElementsAre(5, 3, 5, 2));
  EXPECT_THAT(tokenizer.encode("", true), ElementsAre(5));
  EXPECT_EQ(tokenizer.decode({5, 4, 2}), "abcc");
  EXPECT_EQ(tokenizer.decode({5, 4, 2}, false), "<s>abcc");
  EXPECT_EQ(tokenizer.decode({4, 77, -1}), "abc");
  EXPECT_EQ(tokenizer.piece(3), "ab");
  EXPECT_EQ(tokenizer.piece(5), "<s>");
  EXPECT_EQ(tokenizer.piece(6), "");
  EXPECT_EQ(tokenizer.vocab_size(), 6);
  EXPECT_EQ(tokenizer.bos(), 5);
  EXPECT_EQ(tokenizer.id_of("abc"), 4);
  EXPECT_EQ(tokenizer.id_of("<s>"), 5);
  EXPECT_EQ(tokenizer.id_of("abd"), std::nullopt);
  EXPECT_TRUE(tokenizer.is_special(5));
  EXPECT_FALSE(tokenizer.is_special(4));
  EXPECT_EQ(tokenizer.kind(), "BPE");
}

class TokenizerGolden : public ::testing::TestWithParam<const char*> {};

TEST_P(TokenizerGolden, SameIdsAndTextAsTheLibrary) {
  const Json data = golden(GetParam());
  const Tokenizer tokenizer = tokenizer_of(data["tokenizer"].dump());
  for (const Json& item : data["cases"]) {
    SCOPED_TRACE(item.dump());
    const std::vector<int32_t> ids = ids_of(item["ids"]);
    const std::string text = text_of(item);
    EXPECT_EQ(tokenizer.encode(text, false), ids);
    EXPECT_EQ(tokenizer.encode(text, true), ids_of(item.value("special", item["ids"])));
    EXPECT_EQ(tokenizer.decode(ids), item["decoded"].get<std::string>());
  }
  for (const Json& item : data["decodes"]) {
    SCOPED_TRACE(item.dump());
    EXPECT_EQ(tokenizer.decode(ids_of(item["ids"])), item["decoded"].get<std::string>());
    EXPECT_EQ(tokenizer.decode(ids_of(item["ids"]), false), item["plain"].get<std::string>());
  }
}

TEST_P(TokenizerGolden, StreamsWholeCharactersThatJoinToTheWholeText) {
  const Json data = golden(GetParam());
  const Tokenizer tokenizer = tokenizer_of(data["tokenizer"].dump());
  for (const char* list : {"cases", "decodes"}) {
    for (const Json& item : data[list]) {
      SCOPED_TRACE(item.dump());
      StreamDecoder stream(tokenizer);
      std::string text;
      for (const int32_t id : ids_of(item["ids"])) {
        const std::string part = stream.push(id);
        EXPECT_NO_THROW(static_cast<void>(Json(part).dump()));  // refuses broken UTF-8
        text += part;
      }
      text += stream.finish();
      EXPECT_EQ(text, item["decoded"].get<std::string>());
    }
  }
}

TEST_P(TokenizerGolden, SurvivesWritingAndReading) {
  const std::string text = golden(GetParam())["tokenizer"].dump();
  const std::string written = write_tokenizer_json(read_tokenizer_json(text, "golden"));
  EXPECT_EQ(tokenizer_of(written).fingerprint(), tokenizer_of(text).fingerprint());
  EXPECT_EQ(write_tokenizer_json(read_tokenizer_json(written, "written")), written);
}

INSTANTIATE_TEST_SUITE_P(Kinds, TokenizerGolden,
                         ::testing::Values("gpt2", "prefix_space", "smollm", "llama3", "qwen2",
                                           "llama2", "mistral", "gemma", "metaspace", "lowercase"),
                         [](const auto& test) { return std::string(test.param); });

TEST(Tokenizer, SplitsAsTheLibraryDoes) {
  const Json data = golden("variants");
  for (const Json& variant : data["variants"]) {
    SCOPED_TRACE(variant["name"].get<std::string>() + ": " + variant["pre_tokenizer"].dump());
    Json changed = data["tokenizer"];
    changed["pre_tokenizer"] = variant["pre_tokenizer"];
    const Tokenizer tokenizer = tokenizer_of(changed.dump());
    for (size_t i = 0; i < data["texts"].size(); ++i) {
      EXPECT_EQ(tokenizer.encode(data["texts"][i].get<std::string>(), true),
                ids_of(variant["ids"][i]))
          << data["texts"][i].dump();
    }
  }
}

TEST(Tokenizer, FingerprintSeesWhatDecidesIds) {
  const Json base = parse_json(kTiny, "tiny");
  const std::string fingerprint = tokenizer_of(base.dump()).fingerprint();
  EXPECT_EQ(fingerprint.size(), 64u);
  const auto with = [&](const char* pointer, const Json& value) {
    Json changed = base;
    changed[Json::json_pointer(pointer)] = value;
    return tokenizer_of(changed.dump()).fingerprint();
  };
  EXPECT_EQ(with("/decoder", nullptr), fingerprint);
  EXPECT_EQ(with("/added_tokens/0/special", false), fingerprint);
  EXPECT_NE(with("/added_tokens/0/lstrip", true), fingerprint);
  EXPECT_NE(with("/model/merges", Json::array({"a b"})), fingerprint);
  EXPECT_NE(with("/model/ignore_merges", true), fingerprint);
  EXPECT_NE(with("/model/vocab/d", 6), fingerprint);
  EXPECT_NE(with("/normalizer", {{"type", "NFC"}}), fingerprint);
  EXPECT_NE(with("/post_processor", nullptr), fingerprint);
}

// What a changed tokenizer.json is refused with.
std::string refusal(const char* pointer, const Json& value) {
  Json changed = parse_json(kTiny, "tiny");
  changed[Json::json_pointer(pointer)] = value;
  try {
    tokenizer_of(changed.dump());
  } catch (const Error& error) {
    EXPECT_EQ(error.exit(), Exit::bad_input);
    EXPECT_THAT(error.what(), HasSubstr("tokenizer.json"));
    return error.what();
  }
  return "no error";
}

TEST(Tokenizer, NamesTheOptionThatItDoesNotKnow) {
  EXPECT_THAT(refusal("/version", "2.0"), HasSubstr("version"));
  EXPECT_THAT(refusal("/surprise", 1), HasSubstr("surprise"));
  EXPECT_THAT(refusal("/model/type", "Unigram"), HasSubstr("Unigram"));
  EXPECT_THAT(refusal("/model/dropout", 0.1), HasSubstr("dropout"));
  EXPECT_THAT(refusal("/model/end_of_word_suffix", "</w>"), HasSubstr("end_of_word_suffix"));
  EXPECT_THAT(refusal("/model/new_option", true), HasSubstr("new_option"));
  EXPECT_THAT(refusal("/model/fuse_unk", "yes"), HasSubstr("fuse_unk"));
  EXPECT_THAT(refusal("/model/unk_token", "<unk>"), HasSubstr("<unk>"));
  EXPECT_THAT(refusal("/added_tokens/0/color", "red"), HasSubstr("color"));
  EXPECT_THAT(refusal("/normalizer", {{"type", "Precompiled"}}), HasSubstr("Precompiled"));
  EXPECT_THAT(refusal("/normalizer", {{"type", "NFC"}, {"depth", 2}}), HasSubstr("depth"));
  EXPECT_THAT(refusal("/pre_tokenizer", {{"type", "UnicodeScripts"}}), HasSubstr("UnicodeScripts"));
  EXPECT_THAT(refusal("/pre_tokenizer", {{"type", "Split"},
                                         {"pattern", {{"Regex", "(a"}}},
                                         {"behavior", "Isolated"},
                                         {"invert", false}}),
              HasSubstr("(a"));
  EXPECT_THAT(refusal("/pre_tokenizer", {{"type", "Split"},
                                         {"pattern", {{"String", "a"}}},
                                         {"behavior", "Sideways"},
                                         {"invert", false}}),
              HasSubstr("Sideways"));
  EXPECT_THAT(refusal("/decoder", {{"type", "CTC"}}), HasSubstr("CTC"));
  EXPECT_THAT(refusal("/post_processor", {{"type", "RobertaProcessing"}}),
              HasSubstr("RobertaProcessing"));
  EXPECT_THAT(
      refusal("/post_processor/single/0", {{"SpecialToken", {{"id", "<x>"}, {"type_id", 0}}}}),
      HasSubstr("<x>"));
}

TEST(Tokenizer, RefusesBrokenVocabularies) {
  EXPECT_THAT(refusal("/model/vocab/d", -1), HasSubstr("\"d\""));
  EXPECT_THAT(refusal("/model/vocab/d", 1e18), HasSubstr("\"d\""));
  EXPECT_THAT(refusal("/model/vocab/d", 4), HasSubstr("twice"));
  EXPECT_THAT(refusal("/model/vocab", Json::array()), HasSubstr("vocab"));
  EXPECT_THAT(refusal("/model/merges/0", "ab"), HasSubstr("\"ab\""));
  EXPECT_THAT(refusal("/model/merges/0", "a b c"), HasSubstr("\"a b c\""));
  EXPECT_THAT(refusal("/model/merges/0", "b a"), HasSubstr("\"ba\""));
  EXPECT_THAT(refusal("/model/merges/0", Json::array({"a", 1})), HasSubstr("expected two pieces"));
  EXPECT_THAT(refusal("/model", nullptr), HasSubstr("model"));
  for (const char* text : {"{", "[]", "{}", "{\"model\": {}}", "\xff"}) {
    EXPECT_THROW(tokenizer_of(text), Error) << text;
  }
  EXPECT_THROW(Tokenizer::load(Metadata()), Error);
}

}  // namespace
}  // namespace halftone
