// A text that comes part by part gives the ids of the whole: of every kind of tokenizer, cut as
// often as there is a place; and of the models and texts that scripts/fetch.sh put on this machine.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>

#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "base/rng.h"
#include "io/find_model.h"
#include "io/gguf.h"
#include "text/known_patterns.h"
#include "text/tokenizer.h"

namespace halftone {
namespace {

namespace fs = std::filesystem;

struct Encoded {
  std::vector<int32_t> ids;
  int64_t parts = 0;  // calls that gave ids before the text's end
};

// In pieces of random sizes, which end within characters too.
Encoded encode_stream(const Tokenizer& tokenizer, std::string_view text, bool special,
                      size_t part) {
  Encoded encoded;
  StreamEncoder encoder(tokenizer, special, part);
  Rng rng(text.size());
  while (!text.empty()) {
    const size_t size = std::min<size_t>(text.size(), 1 + rng.below(2 * part));
    const size_t before = encoded.ids.size();
    encoder.push(text.substr(0, size), encoded.ids);
    encoded.parts += encoded.ids.size() > before ? 1 : 0;
    text.remove_prefix(size);
  }
  encoder.finish(encoded.ids);
  return encoded;
}

Json golden(const std::string& name) {
  return read_json_file(std::string(HALFTONE_SOURCE_DIR) + "/tests/data/tokenizers/" + name +
                        ".json");
}

Tokenizer tokenizer_of(const Json& json) {
  Metadata metadata;
  metadata.tokenizer.tokenizer_json = json.dump();
  return Tokenizer::load(metadata);
}

// Everything that a place to cut must be wary of: other letters, marks that combine, contractions,
// punctuation, numbers, runs of white space, added tokens, the texts of the golden file.
std::string hard_text(const Json& data, uint64_t seed) {
  std::vector<std::string> words = {"the",
                                    "a",
                                    "I",
                                    "we'll",
                                    "it's",
                                    "can't",
                                    "x'S",
                                    "don'",
                                    "caf\u00e9",
                                    "e\u0301",
                                    "\u0130",
                                    "\ufb01x",
                                    "na\u00efve",
                                    "\u6f22\u5b57",
                                    "\u3042\u304c",
                                    "\ud55c\uad6d",
                                    "\u1112\u1161",
                                    "\u0939\u093f\u0928\u094d\u0926\u0940",
                                    "\u0639\u0631\u0628\u064a",
                                    "\u041f\u0440\u0438\u0439",
                                    "\U0001f600",
                                    "\U0001f468\u200d\U0001f469",
                                    "1",
                                    "42",
                                    "2024",
                                    "3.14",
                                    "U.S.",
                                    "x,y",
                                    "\u2581",
                                    "b\u2581c",
                                    "\u00a0",
                                    "\u3000",
                                    "`",
                                    "\u0308",
                                    "...",
                                    ",,",
                                    "!?",
                                    "\u3002",
                                    "\uff0c",
                                    "//",
                                    "a_b"};
  for (const Json& token : data["tokenizer"]["added_tokens"])
    words.push_back(token["content"].get<std::string>());
  for (const Json& item : data["cases"])
    if (item.contains("text")) words.push_back(item["text"].get<std::string>());
  const std::vector<std::string> between = {" ",   " ",      " ",      "\n", "\n\n", "  ",
                                            " \n", "\n ",    "\t",     ".",  ",",    ". ",
                                            ", ",  "\u3002", "\uff0c", "",   "",     "\r\n"};
  Rng rng(seed);
  std::string text;
  for (int i = 0; i < 1000; ++i)
    text += words[rng.below(words.size())] + between[rng.below(between.size())];
  return text;
}

class StreamEncoderGolden : public ::testing::TestWithParam<const char*> {};

TEST_P(StreamEncoderGolden, GivesTheIdsOfTheWholeText) {
  const Json data = golden(GetParam());
  const Tokenizer tokenizer = tokenizer_of(data["tokenizer"]);
  for (uint64_t seed = 0; seed < 6; ++seed) {
    const std::string text = hard_text(data, seed);
    for (const size_t part : {size_t{30}, size_t{2000}, text.size() * 2}) {
      SCOPED_TRACE(fmt::format("seed {}, parts of {}", seed, part));
      const bool special = seed % 2 == 0;
      ASSERT_EQ(encode_stream(tokenizer, text, special, part).ids, tokenizer.encode(text, special));
    }
  }
  EXPECT_EQ(encode_stream(tokenizer, "", true, 1).ids, tokenizer.encode("", true));
}

INSTANTIATE_TEST_SUITE_P(Kinds, StreamEncoderGolden,
                         ::testing::Values("gpt2", "prefix_space", "smollm", "llama3", "qwen2",
                                           "llama2", "mistral", "gemma", "metaspace", "lowercase"),
                         [](const auto& name) { return std::string(name.param); });

// A tokenizer that is not cut would pass the test above.
TEST(StreamEncoder, CutsWhatTheFamiliesUse) {
  for (const char* name :
       {"gpt2", "smollm", "llama3", "qwen2", "llama2", "mistral", "gemma", "metaspace"}) {
    const Json data = golden(name);
    const Encoded encoded =
        encode_stream(tokenizer_of(data["tokenizer"]), hard_text(data, 1), false, 100);
    EXPECT_GT(encoded.parts, 20) << name;
  }
}

TEST(StreamEncoder, WhatIsFetchedHere) {
  const fs::path cache = fetch_cache();
  int pairs = 0;
  std::error_code none;
  for (const auto& model : fs::directory_iterator(cache / "models", none)) {
    if (model.path().extension() != ".gguf") continue;
    const Tokenizer tokenizer = Tokenizer::load(gguf_metadata(GgufFile(model.path())));
    for (const auto& file : fs::directory_iterator(cache / "texts", none)) {
      const std::string text = read_file(file.path());
      SCOPED_TRACE(fmt::format("{} {}", model.path().string(), file.path().string()));
      const std::vector<int32_t> whole = tokenizer.encode(text, true);
      EXPECT_EQ(encode_stream(tokenizer, text, true, size_t{64} << 10).ids, whole);
      const Encoded often = encode_stream(tokenizer, text, true, 500);
      EXPECT_EQ(often.ids, whole);
      if (text.size() > 50000) {
        EXPECT_GT(often.parts, 20);
      }
      ++pairs;
    }
  }
  if (pairs == 0) GTEST_SKIP() << "no .gguf and no text in " << cache << ": make fetch";
}

TEST(KnownPatterns, AlternativesAreParted) {
  const std::string gpt2 =
      R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";
  EXPECT_EQ(known_pattern(gpt2), KnownPattern::letters);
  EXPECT_EQ(known_pattern(R"(\p{N}{1,3})"), KnownPattern::no_letters);
  EXPECT_EQ(known_pattern(R"([\p{P}\$\+<=>\^~\|]+)"), KnownPattern::no_letters);
  EXPECT_EQ(known_pattern(gpt2 + R"(|\p{L}+ )"), KnownPattern::other);
  EXPECT_EQ(known_pattern(""), KnownPattern::other);
}

}  // namespace
}  // namespace halftone
