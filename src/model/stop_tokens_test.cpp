#include "model/stop_tokens.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"

namespace halftone {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

Metadata metadata_of(const char* config, const char* generation_config = "null") {
  Metadata metadata;
  metadata.origin = "model/config.json";
  metadata.config = Json::parse(config);
  metadata.generation_config = Json::parse(generation_config);
  return metadata;
}

TEST(StopTokens, TheGenerationConfigurationsBeforeTheOthers) {
  const char* config = R"({"eos_token_id": 2, "text_config": {"eos_token_id": 7}})";
  EXPECT_THAT(read_stop_tokens(metadata_of(config), 10).ids, ElementsAre(2));
  EXPECT_THAT(read_stop_tokens(metadata_of(config, R"({"eos_token_id": [3, 5]})"), 10).ids,
              ElementsAre(3, 5));
  EXPECT_THAT(read_stop_tokens(metadata_of(config, R"({"eos_token_id": null})"), 10).ids,
              ElementsAre(2));
  EXPECT_THAT(read_stop_tokens(metadata_of(R"({"text_config": {"eos_token_id": 7}})"), 10).ids,
              ElementsAre(7));
  EXPECT_THAT(read_stop_tokens(metadata_of("{}"), 10).ids, IsEmpty());
}

TEST(StopTokens, IdsOutsideTheVocabularyAreNamedWithTheirFile) {
  StopTokens stop = read_stop_tokens(metadata_of(R"({"eos_token_id": [9, 10, 99999]})"), 10);
  EXPECT_THAT(stop.ids, ElementsAre(9));
  EXPECT_EQ(stop.outside,
            "model/config.json: eos_token_id 10, 99999 is not in the vocabulary of 10");
  stop = read_stop_tokens(metadata_of("{}", R"({"eos_token_id": 1234})"), 1000);
  EXPECT_EQ(stop.outside,
            "model/generation_config.json: eos_token_id 1234 is not in the vocabulary of 1,000");
  EXPECT_EQ(read_stop_tokens(metadata_of(R"({"eos_token_id": 9})"), 10).outside, "");
}

TEST(StopTokens, WhatIsNoIdIsRefused) {
  for (const char* value : {"-1", "\"a\"", "1.5", "[[1]]"}) {
    try {
      read_stop_tokens(metadata_of("{}", fmt::format(R"({{"eos_token_id": {}}})", value).c_str()),
                       10);
      ADD_FAILURE() << value;
    } catch (const Error& error) {
      EXPECT_THAT(error.what(), HasSubstr("generation_config.json: eos_token_id: got"));
    }
  }
}

}  // namespace
}  // namespace halftone
