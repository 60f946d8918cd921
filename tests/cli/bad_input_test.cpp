// One clear line for each mistake, its exit code, and nothing left behind.
#include <gmock/gmock.h>

#include <filesystem>
#include <fstream>
#include <functional>

#include "base/json.h"
#include "program.h"

namespace halftone::test {
namespace {

using ::testing::HasSubstr;

class BadInput : public ::testing::Test {
 protected:
  BadInput() : model_(make_model(folder_)), text_(folder_.write("text.txt", make_text(300))) {}

  // Runs quantize with these arguments added; checks code, words, and that no output is there.
  void refuse(int code, const std::string& words, std::vector<std::string> more) {
    std::vector<std::string> all = {"quantize", model_, "-o", folder_.path("out"), "--samples", "4",
                                    "--seq-len", "64"};
    const auto has = [&](const std::string& name) {
      return std::find(more.begin(), more.end(), name) != more.end();
    };
    if (!has("--calib")) all.insert(all.end(), {"--calib", text_});
    if (!has("--group-size")) all.insert(all.end(), {"--group-size", "16"});
    all.insert(all.end(), more.begin(), more.end());
    check(run(all), code, words);
    EXPECT_FALSE(std::filesystem::exists(folder_.path("out")));
  }

  static void check(const Outcome& outcome, int code, const std::string& words) {
    EXPECT_EQ(outcome.code, code) << outcome.err;
    EXPECT_THAT(outcome.err, HasSubstr(words));
    EXPECT_THAT(outcome.err, HasSubstr("halftone: "));
    EXPECT_EQ(outcome.out, "");
  }

  void edit_config(const std::function<void(Json&)>& edit) {
    Json config = read_json_file(model_ + "/config.json");
    edit(config);
    folder_.write("model/config.json", config.dump());
  }

  void damage(const std::string& name, const std::function<void(std::string&)>& edit) {
    std::string bytes = read(model_ + "/" + name);
    edit(bytes);
    folder_.write("model/" + name, bytes);
  }

  Folder folder_;
  std::string model_, text_;
};

TEST_F(BadInput, UnknownWordsGetTheNearestRightOne) {
  check(run({"quantize", model_, "--grop-size", "8"}), 2, "did you mean --group-size?");
  check(run({"quantise", model_}), 2, "did you mean quantize?");
  check(run({"quantize"}), 2, "model");
}

TEST_F(BadInput, NumbersAreChecked) {
  for (const auto& [option, value] :
       {std::pair<const char*, const char*>{"--damp", "nan"}, {"--damp", "-1"}, {"--seed", "-1"},
        {"--seed", "99999999999999999999999"}, {"--samples", "0"}, {"--max-memory", "lots"},
        {"--max-memory", "-1"}, {"--max-memory", "0"}})
    refuse(2, option, {option, value});
  check(run({"eval", model_, "--text", text_, "--windows", "0"}), 2, "whole number");
  check(run({"generate", model_, "--prompt", "a", "--temperature", "nan"}), 2, "--temperature");
}

TEST_F(BadInput, AConfigurationFileIsReadStrictly) {
  for (const char* text : {"[quantize]\nbitz = 3\n", "[quantise]\nbits = 3\n"}) {
    const std::string config = folder_.write("bad.toml", text);
    refuse(2, "bad.toml", {"--config", config});
  }
}

TEST_F(BadInput, TheModelIsNeverItsOwnOutput) {
  check(run({"quantize", model_, "-o", model_, "--force", "--group-size", "16", "--calib", text_}), 2,
        "is the model itself");
  check(run({"quantize", model_, "-o", text_, "--force", "--group-size", "16", "--calib", text_}), 2,
        "not replaced");
  EXPECT_EQ(read(text_).size(), make_text(300).size());
}

TEST_F(BadInput, ContradictionsAreRefused) {
  refuse(2, "--sym", {"--sym", "--asym"});
  refuse(2, "--order", {"--order", "act", "--desc-act", "true"});
  refuse(2, "--bits", {"--bits", "5"});
  refuse(2, "gptq", {"--method", "magic"});
  refuse(2, "gptq", {"--format", "magic"});
  refuse(2, "fast", {"--recipe", "magic"});
  refuse(2, "auto", {"--device", "magic"});
}

TEST_F(BadInput, AGroupThatDoesNotDivideIsNamedAndAnotherProposed) {
  refuse(2, "does not divide model.layers.0.self_attn.q_proj", {"--group-size", "24"});
}

TEST_F(BadInput, SkipPatternsMustCompileAndMatch) {
  refuse(2, "not a regular expression", {"--skip", "("});
  refuse(2, "matches no linear", {"--skip", "nothing_like_this"});
}

TEST_F(BadInput, CalibrationTextIsChecked) {
  refuse(3, "missing.txt", {"--calib", folder_.path("missing.txt")});
  refuse(3, "empty", {"--calib", folder_.write("empty.txt", "")});
  refuse(3, "NUL", {"--calib", folder_.write("binary.txt", std::string("ab\0cd", 5))});
  refuse(3, "UTF-8", {"--calib", folder_.write("latin.txt", "caf\xe9 au lait")});
  refuse(3, "line 2", {"--calib", folder_.write("bad.jsonl", "{\"text\": \"a\"}\nnot json\n")});
  refuse(3, "tokens", {"--calib", folder_.write("short.txt", "a few words")});
}

TEST_F(BadInput, TooFewTokensSaysHowManyThereAre) {
  const Outcome made = run({"quantize", model_, "-o", folder_.path("out"), "--group-size", "16",
                            "--calib", folder_.write("short.txt", make_text(20)), "--samples", "100",
                            "--seq-len", "64"});
  check(made, 3, "100 samples of 64 need 6,400");
  EXPECT_THAT(made.err, HasSubstr("pass --samples"));
}

TEST_F(BadInput, WithoutASampleCountAllThereIsIsUsed) {
  const Outcome made = run({"quantize", model_, "-o", folder_.path("out"), "--group-size", "16", "--calib",
                            folder_.write("short.txt", make_text(40)), "--seq-len", "64"});
  EXPECT_EQ(made.code, 0) << made.err;
  EXPECT_THAT(made.err, HasSubstr("held out"));
}

TEST_F(BadInput, EvaluationTextIsChecked) {
  const auto eval = [&](const std::string& text) {
    return run({"eval", model_, "--text", text, "--seq-len", "64"});
  };
  check(eval(folder_.path("missing.txt")), 3, "missing.txt");
  check(eval(folder_.write("short.txt", "a b c")), 3, "tokens");
  check(eval(folder_.write("latin.txt", "caf\xe9")), 3, "UTF-8");
}

TEST_F(BadInput, EvaluatingOnTheCalibrationTextIsSaid) {
  ASSERT_EQ(run({"quantize", model_, "-o", folder_.path("made"), "--group-size", "16", "--calib", text_,
                 "--samples", "4", "--seq-len", "64"})
                .code,
            0);
  const auto eval = [&](const std::string& text) {
    return run({"eval", folder_.path("made"), "--text", text, "--seq-len", "64"}).out;
  };
  EXPECT_THAT(eval(text_), HasSubstr("was calibrated on"));
  EXPECT_THAT(eval(folder_.write("fresh.txt", make_text(300, 8))), ::testing::Not(HasSubstr("calibrated on")));
}

TEST_F(BadInput, ModelsThatAreNotThere) {
  check(run({"inspect", folder_.path("nothing")}), 2, "nothing");
  std::filesystem::create_directory(folder_.path("bare"));
  check(run({"inspect", folder_.path("bare")}), 3, "config.json");
}

TEST_F(BadInput, DamagedWeights) {
  const std::string good = read(model_ + "/model.safetensors");
  damage("model.safetensors", [](std::string& bytes) { bytes.clear(); });
  check(run({"inspect", model_}), 3, "model.safetensors");
  folder_.write("model/model.safetensors", good.substr(0, good.size() / 2));
  check(run({"inspect", model_}), 3, "model.safetensors");
  folder_.write("model/model.safetensors", "\xff\xff\xff\xff\xff\xff\xff\x7f" + good.substr(8));
  check(run({"inspect", model_}), 3, "header");
}

TEST_F(BadInput, NotANumberInTheWeightsIsNamed) {
  damage("model.safetensors", [](std::string& bytes) { bytes.replace(bytes.size() - 4, 4, "\xff\xff\xff\xff"); });
  const Outcome made = run({"eval", model_, "--text", text_, "--seq-len", "64"});
  EXPECT_EQ(made.code, 3) << made.err;
  EXPECT_THAT(made.err, ::testing::AnyOf(HasSubstr("nan"), HasSubstr("NaN"), HasSubstr("not finite")));
}

TEST_F(BadInput, ConfigurationsThatCannotBe) {
  edit_config([](Json& config) { config["model_type"] = "mamba"; });
  const Outcome unknown = run({"inspect", model_});
  check(unknown, 3, "mamba");
  EXPECT_THAT(unknown.err, HasSubstr("qwen2"));
  for (const auto& [key, value] : {std::pair<const char*, int>{"hidden_size", 0}, {"hidden_size", -4},
                                   {"num_hidden_layers", 100000000}, {"num_attention_heads", 0},
                                   {"intermediate_size", 7}, {"vocab_size", -1}}) {
    std::filesystem::remove_all(model_);
    make_model(folder_);
    edit_config([&](Json& config) { config[key] = value; });
    check(run({"inspect", model_}), 3, key);
  }
}

TEST_F(BadInput, MissingTokenizer) {
  std::filesystem::remove(model_ + "/tokenizer.json");
  refuse(3, "tokenizer", {});
}

TEST_F(BadInput, QuantizedModelsAreNotQuantizedAgain) {
  ASSERT_EQ(run({"quantize", model_, "-o", folder_.path("once"), "--group-size", "16", "--calib", text_,
                 "--samples", "4", "--seq-len", "64"})
                .code,
            0);
  check(run({"quantize", folder_.path("once"), "-o", folder_.path("twice"), "--calib", text_}), 3,
        "already quantized");
}

TEST_F(BadInput, OutputsThatCannotBe) {
  check(run({"quantize", model_, "-o", text_ + "/out", "--calib", text_, "--group-size", "16", "--samples", "4",
             "--seq-len", "64"}),
        3, "out");
  std::filesystem::create_directory(folder_.path("there"));
  check(run({"quantize", model_, "-o", folder_.path("there"), "--calib", text_, "--group-size", "16"}), 2,
        "exists");
}

TEST_F(BadInput, TooLittleMemorySaysTheLeast) { refuse(4, "at least", {"--max-memory", "1M"}); }

TEST_F(BadInput, DifferentTokenizersAreNotCompared) {
  const std::string other = make_model(folder_, "qwen2", "other");
  Json tokenizer = read_json_file(other + "/tokenizer.json");
  std::swap(tokenizer["model"]["vocab"]["a"], tokenizer["model"]["vocab"]["b"]);
  folder_.write("other/tokenizer.json", tokenizer.dump());
  check(run({"eval", model_, "--against", other, "--text", text_, "--seq-len", "64"}), 3, "tokenizer differs");
}

TEST_F(BadInput, PromptsAreChecked) {
  check(run({"generate", model_, "--prompt", ""}), 2, "empty");
}

}  // namespace
}  // namespace halftone::test
