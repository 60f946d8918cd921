// The other commands end to end: what each prints, what it writes, its exit code.
#include "commands.h"

#include <fmt/format.h>
#include <gmock/gmock.h>

#include <cstdlib>
#include <filesystem>
#include <set>

#include "base/json.h"

namespace halftone::test {
namespace {

using ::testing::HasSubstr;

class OtherCommands : public Commands {};

TEST_F(OtherCommands, EvalGivesExactlyTheKeysThatScriptsRead) {
  ASSERT_EQ(run(quantize("out")).code, 0);
  const Outcome measured = run({"eval", folder_.path("out"), "--against", model_, "--text", text_,
                                "--seq-len", "64", "--windows", "8", "--json"});
  ASSERT_EQ(measured.code, 0) << measured.err;
  const Json json = parse_json(measured.out, "eval");
  const std::set<std::string> expected = {"protocol",
                                          "seq_len",
                                          "windows",
                                          "tokens",
                                          "perplexity",
                                          "perplexity_stderr",
                                          "base_perplexity",
                                          "kl_mean",
                                          "kl_stderr",
                                          "kl_p50",
                                          "kl_p99",
                                          "kl_max",
                                          "top1_agreement",
                                          "size_bytes",
                                          "bits_per_weight_linears",
                                          "bits_per_weight_file",
                                          "seconds",
                                          "tokens_per_second",
                                          "peak_memory_bytes"};
  std::set<std::string> got;
  for (const auto& [key, value] : json.items()) got.insert(key);
  EXPECT_EQ(got, expected);
  EXPECT_EQ(json["tokens"], 8 * 63);
  EXPECT_GT(json["kl_mean"], 0.0);
  EXPECT_LT(json["kl_mean"], 0.5);
}

TEST_F(OtherCommands, BothProtocolsScoreTheirOwnPositions) {
  const Outcome other = run({"eval", model_, "--text", text_, "--protocol", "llama.cpp",
                             "--seq-len", "64", "--windows", "4", "--json"});
  ASSERT_EQ(other.code, 0) << other.err;
  EXPECT_EQ(parse_json(other.out, "eval")["tokens"], 4 * (64 - 1 - 32));
}

TEST_F(OtherCommands, AGateThatIsNotMetExitsWithSix) {
  ASSERT_EQ(run(quantize("out", {"--bits", "2"})).code, 0);
  std::vector<std::string> eval = {
      "eval", folder_.path("out"), "--against", model_, "--text", text_, "--seq-len",
      "64",   "--max-ppl-increase"};
  std::vector<std::string> strict = eval, loose = eval;
  strict.push_back("-50");
  loose.push_back("100000");
  EXPECT_EQ(run(strict).code, 6);
  EXPECT_EQ(run(loose).code, 0);
}

TEST_F(OtherCommands, TokenizeGivesIdsAndPieces) {
  const Outcome made = run({"tokenize", model_, "--json"}, folder_.write("in", "ab c\n"));
  ASSERT_EQ(made.code, 0) << made.err;
  const Json json = parse_json(made.out, "tokenize");
  EXPECT_EQ(json["pieces"], Json::parse(R"(["a","b","Ġ","c","Ċ"])"));
  EXPECT_EQ(json["ids"].size(), 5u);
}

TEST_F(OtherCommands, TokenizeShowsPeopleThePieceAndItsText) {
  const Outcome made = run({"tokenize", model_}, folder_.write("in", "a \n"));
  ASSERT_EQ(made.code, 0) << made.err;
  EXPECT_THAT(made.out, HasSubstr("  Ġ                 \" \"\n"));
  EXPECT_THAT(made.out, HasSubstr("  Ċ                 \"\\n\"\n"));
}

TEST_F(OtherCommands, ALargerModelIsNotCalledSmaller) {
  ASSERT_EQ(run({"convert", model_, "-o", folder_.path("f32"), "--dtype", "f32"}).code, 0);
  const auto size_of = [&](const std::string& model, const std::string& base) {
    return run({"eval", model, "--against", base, "--text", text_, "--seq-len", "64"}).out;
  };
  EXPECT_THAT(size_of(folder_.path("f32"), model_), HasSubstr("× larger"));
  EXPECT_THAT(size_of(model_, folder_.path("f32")), HasSubstr("× smaller"));
}

TEST_F(OtherCommands, TheDemoTellsTheWholeStoryAndCanBeRunAgain) {
  Json config = read_json_file(model_ + "/config.json");
  config["max_position_embeddings"] = 256;  // what it writes needs more than the tiny model's 64
  folder_.write("model/config.json", config.dump());
  const std::string out = folder_.path("demo-4bit"), page = folder_.path("demo.html");
  const std::vector<std::string> demo = {"demo",
                                         "--model",
                                         model_,
                                         "--calib",
                                         text_,
                                         "--text",
                                         folder_.write("other.txt", make_text(400, 3)),
                                         "-o",
                                         out,
                                         "--report",
                                         page,
                                         "--samples",
                                         "4",
                                         "--windows",
                                         "2",
                                         "--seq-len",
                                         "64"};
  // What another put there is not the demo's to replace.
  std::filesystem::create_directory(out + "-rtn");
  const std::string others = folder_.write("demo-4bit-rtn/config.json", "{}");
  const Outcome refused = run(demo);
  EXPECT_EQ(refused.code, 2);
  EXPECT_THAT(refused.err, HasSubstr("demo-4bit-rtn exists, and no demo made it"));
  EXPECT_EQ(read(others), "{}");
  std::filesystem::remove_all(out + "-rtn");
  for (int round = 0; round < 2; ++round) {
    const Outcome told = run(demo);
    ASSERT_EQ(told.code, 0) << told.err;
    for (const char* words : {"original ", "round to nearest ", "GPTQ ", "KL divergence", "Try  "})
      EXPECT_THAT(told.out, HasSubstr(words));
    EXPECT_THAT(read(page), HasSubstr("<svg"));
  }
}

TEST_F(OtherCommands, OutputThatCannotBeWrittenIsSaid) {
  const std::string command = fmt::format("{} generate {} --prompt ab -n 3 > /dev/full 2> {}",
                                          HALFTONE_PROGRAM, model_, folder_.path("err"));
  const int status = std::system(command.c_str());
  EXPECT_EQ(WEXITSTATUS(status), 4);
  EXPECT_THAT(read(folder_.path("err")), HasSubstr("standard output cannot be written"));
}

TEST_F(OtherCommands, GenerateIsRepeatable) {
  const std::vector<std::string> ask = {"generate", model_,          "--prompt", "ab",     "-n",
                                        "12",       "--temperature", "1",        "--seed", "3"};
  const Outcome first = run(ask);
  ASSERT_EQ(first.code, 0) << first.err;
  EXPECT_EQ(run(ask).out, first.out);
}

TEST_F(OtherCommands, ConvertKeepsTheModel) {
  ASSERT_EQ(run({"convert", model_, "-o", folder_.path("f32"), "--dtype", "f32"}).code, 0);
  const auto perplexity = [&](const std::string& model) {
    const Outcome e =
        run({"eval", model, "--text", text_, "--seq-len", "64", "--dtype", "f32", "--json"});
    return parse_json(e.out, "eval")["perplexity"].get<double>();
  };
  EXPECT_DOUBLE_EQ(perplexity(model_), perplexity(folder_.path("f32")));
}

TEST_F(OtherCommands, BenchTellsWhatAQuantizationCosts) {
  const std::vector<std::string> bench = {
      "bench", "quantize",  "--shape", model_,      "--group-size", "16",       "--samples",
      "2",     "--seq-len", "32",      "--workdir", folder_.path(), "--device", "cpu"};
  const Outcome table = run(bench);
  ASSERT_EQ(table.code, 0) << table.err;
  EXPECT_THAT(table.out, HasSubstr("ceilings of this run"));
  EXPECT_EQ(listing(folder_.path()), "model text.txt") << "the model made for it is left behind";

  std::vector<std::string> json = bench;
  json.push_back("--json");
  const Outcome facts = run(json);
  ASSERT_EQ(facts.code, 0) << facts.err;
  const Json result = parse_json(facts.out, "bench");
  for (const char* key :
       {"shape", "layers", "layers_measured", "seconds", "seconds_error", "seconds_per_layer",
        "device_memory_bytes", "host_memory_bytes", "stages", "once", "ceilings"})
    EXPECT_TRUE(result.contains(key)) << key;
  EXPECT_EQ(result["layers"], 2);
  EXPECT_GT(result["seconds"], 0.0);
}

TEST(Bench, AShapeThatIsNotKnownIsAnsweredWithTheKnown) {
  const Outcome refused = run({"bench", "quantize", "--shape", "qwen9-1t", "--device", "cpu"});
  EXPECT_EQ(refused.code, 2);
  EXPECT_THAT(refused.err, HasSubstr("qwen9-1t"));
  EXPECT_THAT(refused.err, HasSubstr("llama-3.1-405b"));
  EXPECT_THAT(run({"bench", "quantise"}).err, HasSubstr("did you mean quantize?"));
  EXPECT_THAT(run({"bench", "quantize", "--shap", "x"}).err, HasSubstr("did you mean --shape?"));
}

TEST(Program, HelpHasAnExampleForEachCommand) {
  for (const char* command : {"quantize", "eval", "generate", "tokenize", "inspect", "doctor",
                              "convert", "demo", "bench"}) {
    const Outcome help = run({command, "--help"});
    EXPECT_EQ(help.code, 0) << command;
    EXPECT_THAT(help.out, HasSubstr("Example: ")) << command;
  }
  EXPECT_THAT(run({"--version"}).out, HasSubstr("halftone "));
}

}  // namespace
}  // namespace halftone::test
