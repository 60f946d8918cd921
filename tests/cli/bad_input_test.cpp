// One clear line for each mistake, its exit code, and nothing left behind.
#include <fmt/core.h>
#include <gmock/gmock.h>

#include <chrono>
#include <csignal>
#include <cstring>
#include <filesystem>
#include <functional>
#include <limits>
#include <sstream>
#include <thread>

#include "base/json.h"
#include "io/gguf_test_file.h"
#include "program.h"

namespace halftone::test {
namespace {

using ::testing::HasSubstr;

class BadInput : public ::testing::Test {
 protected:
  BadInput() : model_(make_model(folder_)), text_(folder_.write("text.txt", make_text(300))) {}

  // Runs quantize with these arguments added; checks code, words, and that no output is there.
  void refuse(int code, const std::string& words, std::vector<std::string> more) {
    std::vector<std::string> all = {"quantize",  model_, "-o",        folder_.path("out"),
                                    "--samples", "4",    "--seq-len", "64"};
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

  std::string weights() const { return model_ + "/model.safetensors"; }

  Folder folder_;
  std::string model_, text_;
};

TEST_F(BadInput, UnknownWordsGetTheNearestRightOne) {
  check(run({"quantize", model_, "--grop-size", "8"}), 2, "did you mean --group-size?");
  check(run({"quantise", model_}), 2, "did you mean quantize?");
}

TEST_F(BadInput, NumbersAreChecked) {
  for (const auto& [option, value] : {std::pair<const char*, const char*>{"--damp", "nan"},
                                      {"--damp", "-1"},
                                      {"--seed", "-1"},
                                      {"--seed", "99999999999999999999999"},
                                      {"--samples", "0"},
                                      {"--max-memory", "lots"},
                                      {"--max-memory", "-1"},
                                      {"--max-memory", "0"},
                                      {"--max-memory", "device=8G,disk=2G"},
                                      {"--max-memory", "host=8G,host=9G"}})
    refuse(2, option, {option, value});
  check(run({"eval", model_, "--text", text_, "--windows", "0"}), 2, "whole number");
  check(run({"generate", model_, "--prompt", "a", "--temperature", "nan"}), 2, "--temperature");
}

// What the option is, what it got, what it expected; then the valid value that is nearest.
TEST_F(BadInput, ValuesThatCannotBeAreAnsweredWithTheNearestThatCan) {
  const auto answer = [&](std::vector<std::string> more, const std::string& words) {
    more.insert(more.begin(), {"quantize", model_, "-o", folder_.path("out")});
    check(run(more), 2, words);
  };
  answer({"--bits", "4.5"},
         "halftone: --bits: got 4.5, expected 2, 3, 4, 5, 6 or 8\n          the nearest is 4.\n");
  answer({"--bits", "many"},
         "--bits: got many, expected 2, 3, 4, 5, 6 or 8\n          halftone quantize --help");
  answer({"--bits"}, "--bits: got nothing, expected 2|3|4|5|6|8");
  answer({"--desc-act", "maybe"}, "--desc-act: got maybe, expected true or false");
  answer(
      {"--method", "gptqq"},
      "--method: got gptqq, expected gptq, awq, awq+gptq or rtn\n          the nearest is gptq.");
  answer({"--gguf-type", "Q4_KM"}, "IQ4_XS, Q4_0 or Q4_1\n          the nearest is Q4_K_M.");
  answer({"--head-type", "q6k"}, "IQ4_XS, Q4_0 or Q4_1\n          the nearest is Q6_K.");
  answer({"--dynamic", "{"}, "--dynamic: ");
  answer({"--group-size", "0"},
         "--group-size: got 0, expected a whole number from 1 to 1048576, or -1");
  answer({"--samples", "1.7"}, "expected a whole number from 1\n          the nearest is 2.");
  answer({"--damp", "3"},
         "--damp: got 3, expected a number from 0 to 1\n          the nearest is 1.");
  answer({"--json=maybe"}, "--json: got maybe, expected no value");
  answer({"--sym", "--asym"}, "got both, expected one of them");
  answer({"-o", "other"}, "--output: given 2 times, expected once");
  answer({"--model", "other"}, "--model: given 2 times, expected once");
  answer({"--config", "nowhere.toml"}, "--config: got nowhere.toml, expected a file that is there");
  check(run({"eval", model_, "--text", text_, "--max-ppl-increase", "1"}), 2,
        "--max-ppl-increase: got it alone, expected --against with it");
}

TEST_F(BadInput, WhatIsNotGivenIsSaidWithAnExample) {
  check(run({}), 2, "no command given");
  check(run({"quantize"}), 2, "MODEL: not given, expected a directory, .gguf file, or org/name");
  check(run({"quantize", model_}), 2, "--output: not given, expected DIR (directory to make)");
  check(run({"generate", model_}), 2, "--prompt: not given, expected TEXT");
  check(run({"eval", model_}), 2, "Example: halftone eval");
}

TEST_F(BadInput, AConfigurationFileIsReadStrictly) {
  for (const char* text : {"[quantize]\nbitz = 3\n", "[quantise]\nbits = 3\n"}) {
    const std::string config = folder_.write("bad.toml", text);
    refuse(2, "bad.toml", {"--config", config});
  }
}

TEST_F(BadInput, WhereNothingCanBeWrittenIsSaidBeforeItStarts) {
  const auto output = [&](const std::string& out) {
    return run({"quantize", model_, "-o", out, "-g", "16", "--calib", text_, "--samples", "4",
                "--seq-len", "64"});
  };
  check(output("/proc/x"), 3, "/proc/x: cannot be created: /proc takes no new directory");
  check(output(folder_.path("no/where")), 3, "no is not there, expected a directory\n");
  EXPECT_THAT(output(folder_.path("no/where")).err, HasSubstr("mkdir -p " + folder_.path("no")));
  check(output(text_ + "/out"), 3, "text.txt is a file, expected a directory");
  EXPECT_EQ(listing(folder_.path()), "model text.txt");
}

TEST_F(BadInput, ConfigurationsThatContradictEachOtherAreSaid) {
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

TEST_F(BadInput, TheModelIsNeverItsOwnOutput) {
  check(run({"quantize", model_, "-o", model_, "--force", "--group-size", "16", "--calib", text_}),
        2, "is the model itself");
  check(run({"quantize", model_, "-o", text_, "--force", "--group-size", "16", "--calib", text_}),
        2, "not replaced");
  EXPECT_EQ(read(text_).size(), make_text(300).size());
}

TEST_F(BadInput, ContradictionsAreRefused) {
  refuse(2, "--order act: rtn rounds each weight by itself", {"--method", "rtn", "--order", "act"});
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
  refuse(2, "nothing is left to quantize: all 14 linears are skipped", {"--skip", ".*"});
  refuse(2, "not a regular expression", {"--skip", "("});
  refuse(2, "matches no linear", {"--skip", "nothing_like_this"});
}

TEST_F(BadInput, CalibrationTextIsChecked) {
  refuse(3, "missing.txt", {"--calib", folder_.path("missing.txt")});
  refuse(3, "blank.txt: empty", {"--calib", folder_.write("blank.txt", "")});
  refuse(3, "NUL", {"--calib", folder_.write("binary.txt", std::string("ab\0cd", 5))});
  refuse(3, "UTF-8", {"--calib", folder_.write("latin.txt", "caf\xe9 au lait")});
  refuse(3, "line 2", {"--calib", folder_.write("bad.jsonl", "{\"text\": \"a\"}\nnot json\n")});
  refuse(3, "tokens", {"--calib", folder_.write("short.txt", "a few words")});
}

TEST_F(BadInput, WhatIsMissingIsAnsweredWithWhatToDo) {
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

TEST_F(BadInput, TheSameTextTwiceIsUsedOnceAndSaid) {
  const std::string copy = folder_.write("copy.txt", make_text(300));
  const auto quantize = [&](const std::string& out, const std::string& second) {
    std::vector<std::string> all = {"quantize",  model_, "-o",        folder_.path(out),
                                    "-g",        "16",   "--samples", "4",
                                    "--seq-len", "64",   "--calib",   text_};
    if (!second.empty()) all.insert(all.end(), {"--calib", second});
    return run(all);
  };
  ASSERT_EQ(quantize("once", "").code, 0);
  const Outcome twice = quantize("twice", copy);
  ASSERT_EQ(twice.code, 0) << twice.err;
  EXPECT_THAT(twice.err, HasSubstr(copy + ": the same text as " + text_ + ", used once"));
  EXPECT_EQ(read(folder_.path("once/model.safetensors")),
            read(folder_.path("twice/model.safetensors")));
}

TEST_F(BadInput, TooFewTokensSaysHowManyThereAre) {
  const Outcome made =
      run({"quantize", model_, "-o", folder_.path("out"), "--group-size", "16", "--calib",
           folder_.write("short.txt", make_text(20)), "--samples", "100", "--seq-len", "64"});
  check(made, 3, "100 samples of 64 need 6,400");
  EXPECT_THAT(made.err, HasSubstr("pass --samples"));
}

TEST_F(BadInput, WithoutASampleCountAllThereIsIsUsed) {
  const Outcome made =
      run({"quantize", model_, "-o", folder_.path("out"), "--group-size", "16", "--calib",
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
  ASSERT_EQ(run({"quantize", model_, "-o", folder_.path("made"), "--group-size", "16", "--calib",
                 text_, "--samples", "4", "--seq-len", "64"})
                .code,
            0);
  const auto eval = [&](const std::string& text) {
    return run({"eval", folder_.path("made"), "--text", text, "--seq-len", "64"}).out;
  };
  EXPECT_THAT(eval(text_), HasSubstr("was calibrated on"));
  EXPECT_THAT(eval(folder_.write("fresh.txt", make_text(300, 8))),
              ::testing::Not(HasSubstr("calibrated on")));
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

TEST_F(BadInput, WhatIsNotFiniteInTheWeightsIsNamed) {
  const std::string good = read(weights());
  for (const char* name :
       {"model.layers.1.mlp.up_proj.weight", "model.norm.weight", "model.embed_tokens.weight"}) {
    set_tensor(weights(), name, std::numeric_limits<float>::quiet_NaN());
    check(run({"eval", model_, "--text", text_, "--seq-len", "64"}), 3, name);
    refuse(3, name, {"--force"});  // its journal may be there from the name before
    folder_.write("model/model.safetensors", good);
  }
}

// What was mended is quantized without a word of what went before.
TEST_F(BadInput, NoJournalIsLeftWhereNoLayerWasFinished) {
  const std::string good = read(weights());
  for (const char* name : {"model.embed_tokens.weight", "model.layers.0.self_attn.q_proj.weight",
                           "model.layers.0.mlp.up_proj.weight"}) {
    set_tensor(weights(), name, std::numeric_limits<float>::quiet_NaN());
    refuse(3, name, {});
    EXPECT_FALSE(std::filesystem::exists(folder_.path("out.journal"))) << name;
    folder_.write("model/model.safetensors", good);
  }
}

TEST_F(BadInput, TensorsThatDoNotBelongTogether) {
  const std::string good = read(weights());
  const std::string name = "model.layers.0.mlp.up_proj.weight";
  const auto broken = [&](const std::string& words, const std::function<void(Json&)>& edit) {
    edit_header(weights(), edit);
    const Outcome outcome = run({"inspect", model_});
    check(outcome, 3, words);
    EXPECT_THAT(outcome.err, HasSubstr(name));
    folder_.write("model/model.safetensors", good);
  };
  broken("missing", [&](Json& header) {  // its bytes belong to another name now
    header["model.layers.0.mlp.extra_proj.weight"] = header[name];
    header.erase(name);
  });
  broken("overlap", [&](Json& header) {
    header[name]["data_offsets"] = header["model.layers.0.mlp.gate_proj.weight"]["data_offsets"];
  });
  broken("shape [32, 48], expected [48, 32]", [&](Json& header) {
    header[name]["shape"] = {32, 48};
  });
  broken("bytes of data, expected", [&](Json& header) { header[name]["shape"] = {48, 31}; });
  broken("expected a floating-point type", [&](Json& header) { header[name]["dtype"] = "I16"; });
  broken("unknown dtype", [&](Json& header) { header[name]["dtype"] = "Q99"; });
  broken("data_offsets", [&](Json& header) {
    header[name]["data_offsets"] = {0, int64_t{1} << 50};
  });
}

TEST_F(BadInput, TensorsThatNobodyClaimsOrThatComeTwice) {
  const std::string good = read(weights());
  edit_header(weights(), [](Json& header) {
    const size_t end = header["model.norm.weight"]["data_offsets"][1];
    header["model.layers.0.mlp.extra_proj.weight"] = {
        {"dtype", "BF16"}, {"shape", {1, 4}}, {"data_offsets", {end, end + 8}}};
  });
  folder_.write("model/model.safetensors", read(weights()) + std::string(8, '\0'));
  check(run({"inspect", model_}), 3,
        "model.layers.0.mlp.extra_proj.weight: not a tensor of a llama model");

  // The same name twice: no JSON library writes that.
  uint64_t size = 0;
  std::memcpy(&size, good.data(), sizeof size);
  const size_t end = good.size() - sizeof size - size;
  const std::string more =
      fmt::format(R"("model.norm.weight":{{"dtype":"BF16","shape":[32],"data_offsets":[{},{}]}},)",
                  end, end + 64);
  const uint64_t longer = size + more.size();
  const std::string length(reinterpret_cast<const char*>(&longer), sizeof longer);
  folder_.write("model/model.safetensors",
                length + "{" + more + good.substr(sizeof size + 1) + std::string(64, '\0'));
  check(run({"inspect", model_}), 3, "model.norm.weight: appears twice");
}

// A gain of 1e20 in one norm: its squares are beyond f32 in two Hessians, and the norms that follow
// make the rest finite again.
TEST_F(BadInput, ActivationsThatOverflowAreNamedAndRoundedInstead) {
  std::filesystem::remove_all(model_);
  make_model(folder_, "gemma3_text");
  set_tensor(weights(), "model.layers.3.input_layernorm.weight", 1e20f);
  const Outcome made = run({"quantize", model_, "-o", folder_.path("out"), "--calib", text_,
                            "--group-size", "16", "--samples", "4", "--seq-len", "64"});
  ASSERT_EQ(made.code, 0) << made.err;
  EXPECT_THAT(made.err, HasSubstr("model.layers.3.self_attn.q_proj: activations overflowed"));
  EXPECT_THAT(made.err, HasSubstr("rounded to nearest"));
  EXPECT_THAT(made.err, ::testing::Not(HasSubstr("model.layers.2.")));
  EXPECT_THAT(made.err, ::testing::Not(HasSubstr("model.layers.4.")));
  EXPECT_THAT(made.out, HasSubstr("overflowed"));
  std::istringstream log(read(folder_.path("out.log.jsonl")));
  int rounded = 0;
  for (std::string line; std::getline(log, line);) {
    const Json entry = Json::parse(line);
    const bool overflowed = entry.value("note", "").find("overflowed") != std::string::npos;
    rounded += overflowed;
    EXPECT_EQ(entry["relative_error"].is_null(), overflowed) << line;
    if (overflowed) {
      EXPECT_EQ(entry["layer"], 3) << line;
    }
  }
  EXPECT_GE(rounded, 3);
}

// Nothing can be made of a network whose own predictions are not finite; the journal is no loss
// then.
TEST_F(BadInput, AModelThatOverflowsByItselfIsSaidToDoSo) {
  set_tensor(weights(), "model.layers.0.input_layernorm.weight", 3e38f);
  const Outcome made = run({"quantize", model_, "-o", folder_.path("out"), "--calib", text_,
                            "--group-size", "16", "--samples", "4", "--seq-len", "64"});
  EXPECT_EQ(made.code, 3) << made.err;
  EXPECT_THAT(made.err, HasSubstr("halftone: the original model's predictions"));
  EXPECT_FALSE(std::filesystem::exists(folder_.path("out")));
  check(run({"eval", model_, "--text", text_, "--seq-len", "64"}), 3, "not finite");
}

TEST_F(BadInput, TruncatedGguf) {
  const std::string whole = tiny_gguf("llama").bytes();
  folder_.write("cut.gguf", whole);
  ASSERT_EQ(run({"inspect", folder_.path("cut.gguf")}).code, 0);
  for (const size_t size :
       {size_t{0}, size_t{3}, size_t{11}, size_t{30}, whole.size() / 2, whole.size() - 40}) {
    const std::string path = folder_.write("cut.gguf", whole.substr(0, size));
    check(run({"inspect", path}), 3, "cut.gguf");
    check(run({"quantize", path, "-o", folder_.path("out"), "--calib", text_}), 3, "cut.gguf");
  }
  EXPECT_EQ(listing(folder_.path()), "cut.gguf model text.txt");
}

TEST_F(BadInput, UnknownFlagsOfEveryCommand) {
  for (const std::string command :
       {"quantize", "eval", "generate", "tokenize", "inspect", "convert", "demo"}) {
    const Outcome outcome = run({command, "--frobnicate-all"});
    check(outcome, 2, "unknown option --frobnicate-all\n");
    EXPECT_THAT(outcome.err, HasSubstr("halftone " + command + " --help lists the options."));
    check(run({command, "--hepl"}), 2, "did you mean --help?");
  }
}

// Until its handler stands, a signal ends it as any program, without a word: so that is waited for.
TEST_F(BadInput, AnInterruptEndsAnEvaluation) {
  const std::string text = folder_.write("long.txt", make_text(50000));
  Running program({"eval", model_, "--text", text, "--seq-len", "64"});
  while (program.alive() && !program.catches(SIGINT))
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  program.signal(SIGINT);
  const Outcome outcome = program.wait();
  check(outcome, 130, "interrupted");
  EXPECT_EQ(listing(folder_.path()), "long.txt model text.txt");
}

TEST_F(BadInput, ConfigurationsThatCannotBe) {
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

TEST_F(BadInput, MissingTokenizer) {
  std::filesystem::remove(model_ + "/tokenizer.json");
  refuse(3, "tokenizer", {});
}

TEST_F(BadInput, QuantizedModelsAreNotQuantizedAgain) {
  ASSERT_EQ(run({"quantize", model_, "-o", folder_.path("once"), "--group-size", "16", "--calib",
                 text_, "--samples", "4", "--seq-len", "64"})
                .code,
            0);
  check(run({"quantize", folder_.path("once"), "-o", folder_.path("twice"), "--calib", text_}), 3,
        "already quantized");
}

TEST_F(BadInput, OutputsThatCannotBe) {
  check(run({"quantize", model_, "-o", text_ + "/out", "--calib", text_, "--group-size", "16",
             "--samples", "4", "--seq-len", "64"}),
        3, "out");
  std::filesystem::create_directory(folder_.path("there"));
  check(run({"quantize", model_, "-o", folder_.path("there"), "--calib", text_, "--group-size",
             "16"}),
        2, "exists");
}

TEST_F(BadInput, TooLittleMemorySaysTheLeast) { refuse(4, "at least", {"--max-memory", "1M"}); }

TEST_F(BadInput, DifferentTokenizersAreNotCompared) {
  const std::string other = make_model(folder_, "qwen2", "other");
  Json tokenizer = read_json_file(other + "/tokenizer.json");
  std::swap(tokenizer["model"]["vocab"]["a"], tokenizer["model"]["vocab"]["b"]);
  folder_.write("other/tokenizer.json", tokenizer.dump());
  check(run({"eval", model_, "--against", other, "--text", text_, "--seq-len", "64"}), 3,
        "tokenizer differs");
}

TEST_F(BadInput, AFileOfAModelIsNotTheModel) {
  for (const char* name : {"config.json", "model.safetensors"})
    check(run({"inspect", model_ + "/" + name}), 2, "expected its directory or a .gguf file");
}

TEST_F(BadInput, PromptsAreChecked) {
  check(run({"generate", model_, "--prompt", ""}), 2, "empty");
  check(run({"generate", model_, "--prompt", "a", "-n", "99999"}), 2, "prompt of 1 token and -n");
  const Outcome broken = run({"generate", model_, "--prompt", "caf\xe9 ab", "-n", "2"});
  EXPECT_EQ(broken.code, 0);
  EXPECT_THAT(broken.err, HasSubstr("--prompt: not UTF-8 (byte 3): what is broken becomes U+FFFD"));
}

TEST_F(BadInput, AnEndThatNoTokenHasIsSaid) {
  edit_config([](Json& config) { config["eos_token_id"] = 99999; });
  const Outcome outcome = run({"generate", model_, "--prompt", "ab", "-n", "2"});
  EXPECT_EQ(outcome.code, 0);
  EXPECT_THAT(outcome.err, HasSubstr("config.json: eos_token_id 99999 is not in the vocabulary of"));
}

}  // namespace
}  // namespace halftone::test
