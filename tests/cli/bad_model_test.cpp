// Models that are not there, not whole, or at odds with themselves.
#include <gmock/gmock.h>

#include <filesystem>

#include "bad_input.h"
#include "base/json.h"

namespace halftone::test {
namespace {

using ::testing::HasSubstr;

class BadModel : public BadInput {};

TEST_F(BadModel, ConfigurationsThatContradictEachOtherAreSaid) {
  const std::string made = folder_.path("made");
  ASSERT_EQ(run({"quantize", model_, "-o", made, "-g", "16", "--calib", text_, "--samples", "4",
                 "--seq-len", "64"})
                .code,
            0);
  EXPECT_EQ(run({"inspect", made}).err, "");
  Json inner = read_json_file(made + "/config.json");
  inner["quantization_config"]["group_size"] = 32;
  folder_.write("made/config.json", inner.dump());
  const Outcome look = run({"inspect", made});
  EXPECT_EQ(look.code, 0) << look.err;
  EXPECT_THAT(look.err, HasSubstr("quantize_config.json and "));
  EXPECT_THAT(look.err, HasSubstr("the former is believed: group_size (16, not 32)"));
}

TEST_F(BadModel, WhatIsMissingIsAnsweredWithWhatToDo) {
  const auto hinted = [&](const Outcome& outcome, const std::string& hint) {
    EXPECT_THAT(outcome.err, HasSubstr("\n          " + hint)) << outcome.err;
  };
  const std::vector<std::string> all = {"quantize", model_, "-o", folder_.path("out"), "-g", "16"};
  const auto with = [&](std::vector<std::string> more) {
    more.insert(more.begin(), all.begin(), all.end());
    return run(more);
  };
  hinted(with({"--calib", folder_.path("missing.txt")}), "check the path; scripts/fetch.sh texts");
  hinted(with({"--calib", text_, "--skip", "("}), "a pattern is searched for in names such as");
  const std::string good = read(model_ + "/tokenizer.json");
  folder_.write("model/tokenizer.json", good.substr(0, good.size() / 2));
  const Outcome cut = with({"--calib", text_});
  check(cut, 3, model_ + "/tokenizer.json: not JSON");
  hinted(cut, "it was cut off or damaged");
  folder_.write("model/tokenizer.json", good);
  std::filesystem::rename(weights(), model_ + "/model-00001-of-00002.safetensors");
  folder_.write("model/model.safetensors.index.json",
                R"({"weight_map": {"a": "model-00001-of-00002.safetensors",
                                   "b": "model-00002-of-00002.safetensors"}})");
  const Outcome shard = with({"--calib", text_});
  check(shard, 3, "model-00002-of-00002.safetensors: missing");
  hinted(shard, "The model was not fetched whole: fetch that file again");
}

TEST_F(BadModel, ModelsThatAreNotThere) {
  check(run({"inspect", folder_.path("nothing")}), 2, "nothing");
  std::filesystem::create_directory(folder_.path("bare"));
  check(run({"inspect", folder_.path("bare")}), 3, "config.json");
}

TEST_F(BadModel, ConfigurationsThatCannotBe) {
  edit_config([](Json& config) { config["model_type"] = "mamba"; });
  const Outcome unknown = run({"inspect", model_});
  check(unknown, 3, "mamba");
  EXPECT_THAT(unknown.err, HasSubstr("qwen2"));
  for (const auto& [key, value] : {std::pair<const char*, int>{"hidden_size", 0},
                                   {"hidden_size", -4},
                                   {"num_hidden_layers", 100000000},
                                   {"num_attention_heads", 0},
                                   {"intermediate_size", 7},
                                   {"vocab_size", -1}}) {
    std::filesystem::remove_all(model_);
    make_model(folder_);
    edit_config([&](Json& config) { config[key] = value; });
    check(run({"inspect", model_}), 3, key);
  }
}

TEST_F(BadModel, MissingTokenizer) {
  std::filesystem::remove(model_ + "/tokenizer.json");
  refuse(3, "tokenizer", {});
}

TEST_F(BadModel, QuantizedModelsAreNotQuantizedAgain) {
  ASSERT_EQ(run({"quantize", model_, "-o", folder_.path("once"), "--group-size", "16", "--calib",
                 text_, "--samples", "4", "--seq-len", "64"})
                .code,
            0);
  check(run({"quantize", folder_.path("once"), "-o", folder_.path("twice"), "--calib", text_}), 3,
        "already quantized");
}

TEST_F(BadModel, DifferentTokenizersAreNotCompared) {
  const std::string other = make_model(folder_, "qwen2", "other");
  Json tokenizer = read_json_file(other + "/tokenizer.json");
  std::swap(tokenizer["model"]["vocab"]["a"], tokenizer["model"]["vocab"]["b"]);
  folder_.write("other/tokenizer.json", tokenizer.dump());
  check(run({"eval", model_, "--against", other, "--text", text_, "--seq-len", "64"}), 3,
        "tokenizer differs");
}

TEST_F(BadModel, AFileOfAModelIsNotTheModel) {
  for (const char* name : {"config.json", "model.safetensors"})
    check(run({"inspect", model_ + "/" + name}), 2, "expected its directory or a .gguf file");
}

}  // namespace
}  // namespace halftone::test
