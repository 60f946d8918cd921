// Every command end to end on a tiny model: what it prints, what it writes, its exit code.
#include <fmt/format.h>
#include <gmock/gmock.h>

#include <cstdlib>
#include <filesystem>
#include <set>

#include "base/json.h"
#include "program.h"

namespace halftone::test {
namespace {

using ::testing::HasSubstr;

class Commands : public ::testing::Test {
 protected:
  Commands() : model_(make_model(folder_)), text_(folder_.write("text.txt", make_text(400))) {}

  std::vector<std::string> quantize(const std::string& out,
                                    std::vector<std::string> more = {}) const {
    std::vector<std::string> all = {"quantize",     model_, "-o",        folder_.path(out),
                                    "--group-size", "16",   "--calib",   text_,
                                    "--samples",    "12",   "--seq-len", "64"};
    all.insert(all.end(), more.begin(), more.end());
    return all;
  }

  Folder folder_;
  std::string model_, text_;
};

TEST_F(Commands, QuantizeWritesAWholeDirectoryAndNothingBesideIt) {
  const Outcome made = run(quantize("out"));
  ASSERT_EQ(made.code, 0) << made.err;
  EXPECT_THAT(made.out, HasSubstr("verified"));
  EXPECT_EQ(
      listing(folder_.path("out")),
      "README.md config.json model.safetensors quantize.toml quantize_config.json tokenizer.json");
  EXPECT_EQ(listing(folder_.path()), "model out out.log.jsonl text.txt");
  EXPECT_EQ(read(folder_.path("out/tokenizer.json")), read(model_ + "/tokenizer.json"));
  const Json config = read_json_file(folder_.path("out/config.json"));
  EXPECT_EQ(config["quantization_config"],
            read_json_file(folder_.path("out/quantize_config.json")));
  EXPECT_EQ(config["quantization_config"]["bits"], 4);
}

// A document each, as long as it is; said, written down, and part of what a journal is for.
TEST_F(Commands, WholeDocumentsCalibrate) {
  std::string lines;
  for (int i = 1; i <= 30; ++i)
    lines += Json{{"text", make_text(i, static_cast<unsigned>(i))}}.dump() + "\n";
  const std::string chats = folder_.write("chats.jsonl", lines);
  std::vector<std::string> whole = {"quantize",     model_,  "-o",        folder_.path("out"),
                                    "--group-size", "16",    "--calib",   chats,
                                    "--sequences",  "whole", "--seq-len", "200",
                                    "--samples",    "24"};
  std::vector<std::string> dry = whole;
  dry.push_back("--dry-run");
  const Outcome planned = run(dry);
  ASSERT_EQ(planned.code, 0) << planned.err;
  EXPECT_THAT(planned.out, HasSubstr("24 sequences of "));
  EXPECT_THAT(planned.out, HasSubstr(" documents cut at 200 tokens"));
  const Outcome made = run(whole);
  ASSERT_EQ(made.code, 0) << made.err;
  EXPECT_THAT(made.err, HasSubstr("24 sequences of "));
  EXPECT_THAT(read(folder_.path("out/quantize.toml")), HasSubstr("sequences = \"whole\"\n"));
  EXPECT_THAT(read(folder_.path("out/README.md")), HasSubstr("calibrated on 24 sequences of "));
  const Outcome again = run({"quantize", "--config", folder_.path("out/quantize.toml"), "-o",
                             folder_.path("again"), "-q"});
  ASSERT_EQ(again.code, 0) << again.err;
  EXPECT_EQ(tree(folder_.path("again")), tree(folder_.path("out")));
}

TEST_F(Commands, TheLogHoldsALinePerLinear) {
  ASSERT_EQ(run(quantize("out")).code, 0);
  const std::string log = read(folder_.path("out.log.jsonl"));
  EXPECT_EQ(std::count(log.begin(), log.end(), '\n'), 2 * 7);
  const Json first = parse_json(log.substr(0, log.find('\n')), "log");
  for (const char* key : {"layer", "module", "shape", "relative_error", "damping", "seconds",
                          "eta_seconds", "peak_memory_bytes"})
    EXPECT_TRUE(first.contains(key)) << key;
}

TEST_F(Commands, EvalGivesExactlyTheKeysThatScriptsRead) {
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

TEST_F(Commands, GptqLosesLessThanRoundToNearest) {
  ASSERT_EQ(run(quantize("gptq", {"--bits", "2", "--asym", "--samples", "60"})).code, 0);
  ASSERT_EQ(run(quantize("rtn", {"--bits", "2", "--asym", "--method", "rtn"})).code, 0);
  double kl[2];
  for (const int i : {0, 1}) {
    const Outcome e =
        run({"eval", folder_.path(i == 0 ? "gptq" : "rtn"), "--against", model_, "--text",
             folder_.write("other.txt", make_text(200, 7)), "--seq-len", "64", "--json"});
    ASSERT_EQ(e.code, 0) << e.err;
    kl[i] = parse_json(e.out, "eval")["kl_mean"];
  }
  EXPECT_LT(kl[0], kl[1]);
}

TEST_F(Commands, BothProtocolsScoreTheirOwnPositions) {
  const Outcome other = run({"eval", model_, "--text", text_, "--protocol", "llama.cpp",
                             "--seq-len", "64", "--windows", "4", "--json"});
  ASSERT_EQ(other.code, 0) << other.err;
  EXPECT_EQ(parse_json(other.out, "eval")["tokens"], 4 * (64 - 1 - 32));
}

TEST_F(Commands, AGateThatIsNotMetExitsWithSix) {
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

TEST_F(Commands, ThreadsDoNotChangeAByte) {
  ASSERT_EQ(run(quantize("one", {"--threads", "1"})).code, 0);
  ASSERT_EQ(run(quantize("two", {"--threads", "2"})).code, 0);
  EXPECT_EQ(tree(folder_.path("one")), tree(folder_.path("two")));
}

TEST_F(Commands, TheConfigFileOfARunMakesItAgain) {
  ASSERT_EQ(
      run(quantize("first", {"--bits", "2", "--asym", "--order", "none", "--seed", "5"})).code, 0);
  const Outcome again = run(
      {"quantize", "--config", folder_.path("first/quantize.toml"), "-o", folder_.path("again")});
  ASSERT_EQ(again.code, 0) << again.err;
  EXPECT_EQ(tree(folder_.path("first")), tree(folder_.path("again")));
}

// The rules are in it: their file may change, and the directory move.
TEST_F(Commands, TheConfigFileHoldsTheRules) {
  const std::string rules =
      folder_.write("rules.json", R"({"+:.*\\.(down|it's)_proj": {"bits": 8}})");
  ASSERT_EQ(run(quantize("first", {"--dynamic", rules})).code, 0);
  std::filesystem::rename(folder_.path("first"), folder_.path("moved"));
  std::filesystem::remove(rules);
  const Outcome again = run(
      {"quantize", "--config", folder_.path("moved/quantize.toml"), "-o", folder_.path("again")});
  ASSERT_EQ(again.code, 0) << again.err;
  EXPECT_EQ(tree(folder_.path("moved")), tree(folder_.path("again")));
}

// Expressions and names are read back as they were, backslashes and quotes too.
TEST_F(Commands, TheConfigFileHoldsWhatItsOwnLanguageWouldEscape) {
  const std::string text = folder_.write("a \"b\"\\c.txt", make_text(300));
  const Outcome made =
      run({"quantize", model_, "-o", folder_.path("first"), "--method", "rtn", "--group-size", "16",
           "--calib", text, "--seq-len", "64", "--skip", R"(layers\.0\.mlp)"});
  ASSERT_EQ(made.code, 0) << made.err;
  const Outcome again = run(
      {"quantize", "--config", folder_.path("first/quantize.toml"), "-o", folder_.path("again")});
  ASSERT_EQ(again.code, 0) << again.err;
  EXPECT_EQ(tree(folder_.path("first")), tree(folder_.path("again")));
  // eval reads there what was calibrated on.
  EXPECT_THAT(run({"eval", folder_.path("first"), "--text", text, "--seq-len", "64"}).out,
              HasSubstr("was calibrated on"));
}

TEST_F(Commands, TheFieldsNamesAreUnderstood) {
  ASSERT_EQ(
      run(quantize("ours", {"--damp", "0.05", "--order", "none", "--scale-search", "minmax"})).code,
      0);
  std::vector<std::string> theirs = {"quantize",
                                     model_,
                                     "-o",
                                     folder_.path("theirs"),
                                     "-g",
                                     "16",
                                     "--calibration",
                                     text_,
                                     "--nsamples",
                                     "12",
                                     "--seqlen",
                                     "64",
                                     "--damp-percent",
                                     "0.05",
                                     "--desc-act",
                                     "false",
                                     "--mse",
                                     "0"};
  ASSERT_EQ(run(theirs).code, 0);
  EXPECT_EQ(read(folder_.path("ours/model.safetensors")),
            read(folder_.path("theirs/model.safetensors")));
}

TEST_F(Commands, ADryRunWritesNothing) {
  const Outcome plan = run(quantize("out", {"--dry-run", "--json"}));
  ASSERT_EQ(plan.code, 0) << plan.err;
  const Json json = parse_json(plan.out, "plan");
  EXPECT_EQ(json["plan"].size(), 14u);
  EXPECT_GT(json["seconds"], 0.0);
  EXPECT_EQ(listing(folder_.path()), "model text.txt");
  ASSERT_EQ(run(quantize("out")).code, 0);
  const auto real =
      static_cast<double>(std::filesystem::file_size(folder_.path("out/model.safetensors")));
  EXPECT_NEAR(json["output_bytes"].get<double>(), real, 4096);
}

TEST_F(Commands, SkippedModulesStayAsTheyWere) {
  const Outcome made = run(quantize("out", {"--skip", "down_proj$", "--json"}));
  ASSERT_EQ(made.code, 0) << made.err;
  EXPECT_EQ(parse_json(made.out, "quantize")["modules"].size(), 12u);
  const Outcome modules = run({"inspect", folder_.path("out"), "--modules"});
  EXPECT_THAT(modules.out, HasSubstr("model.layers.1.mlp.down_proj "));
  EXPECT_THAT(modules.out, HasSubstr("lm_head "));
  const Outcome look = run({"inspect", folder_.path("out"), "--json"});
  for (const Json& role : parse_json(look.out, "inspect")["roles"])
    if (role["role"] == "down") {
      EXPECT_GE(role["bits_per_weight"], 16.0);
    }
}

TEST_F(Commands, ALowMemoryCapChangesNoByte) {
  const std::string text = folder_.write("long.txt", make_text(4000));
  const auto with = [&](const std::string& out, std::vector<std::string> more) {
    more.insert(more.end(), {"--calib", text, "--samples", "140"});
    return run(quantize(out, more));
  };
  ASSERT_EQ(with("free", {}).code, 0);
  const Json plan = parse_json(with("x", {"--dry-run", "--json"}).out, "plan");
  for (const char* least : {"peak_memory_bytes", "least_memory_bytes"}) {
    const int64_t less = std::string_view(least) == "peak_memory_bytes"
                             ? plan["kept_for_reuse_bytes"].get<int64_t>() + 4096
                             : 0;
    const std::string cap = std::to_string(plan[least].get<int64_t>() - less);
    const Outcome capped = with("capped", {"--max-memory", cap, "--force"});
    ASSERT_EQ(capped.code, 0) << capped.err;
    EXPECT_THAT(capped.err, HasSubstr("activations go to disk"));
    EXPECT_EQ(read(folder_.path("free/model.safetensors")),
              read(folder_.path("capped/model.safetensors")));
  }
  const std::string below = std::to_string(plan["least_memory_bytes"].get<int64_t>() - 1);
  EXPECT_EQ(with("refused", {"--max-memory", below}).code, 4);
}

TEST_F(Commands, ASlashAtTheEndOfTheOutputIsNoPartOfItsName) {
  std::vector<std::string> all = quantize("out/");
  ASSERT_EQ(run(all).code, 0);
  EXPECT_EQ(listing(folder_.path()), "model out out.log.jsonl text.txt");
  all.push_back("--force");
  EXPECT_EQ(run(all).code, 0);
  EXPECT_EQ(listing(folder_.path()), "model out out.log.jsonl text.txt");
}

TEST_F(Commands, TokenizeGivesIdsAndPieces) {
  const Outcome made = run({"tokenize", model_, "--json"}, folder_.write("in", "ab c\n"));
  ASSERT_EQ(made.code, 0) << made.err;
  const Json json = parse_json(made.out, "tokenize");
  EXPECT_EQ(json["pieces"], Json::parse(R"(["a","b","Ġ","c","Ċ"])"));
  EXPECT_EQ(json["ids"].size(), 5u);
}

TEST_F(Commands, TokenizeShowsPeopleThePieceAndItsText) {
  const Outcome made = run({"tokenize", model_}, folder_.write("in", "a \n"));
  ASSERT_EQ(made.code, 0) << made.err;
  EXPECT_THAT(made.out, HasSubstr("  Ġ                 \" \"\n"));
  EXPECT_THAT(made.out, HasSubstr("  Ċ                 \"\\n\"\n"));
}

TEST_F(Commands, ALargerModelIsNotCalledSmaller) {
  ASSERT_EQ(run({"convert", model_, "-o", folder_.path("f32"), "--dtype", "f32"}).code, 0);
  const auto size_of = [&](const std::string& model, const std::string& base) {
    return run({"eval", model, "--against", base, "--text", text_, "--seq-len", "64"}).out;
  };
  EXPECT_THAT(size_of(folder_.path("f32"), model_), HasSubstr("× larger"));
  EXPECT_THAT(size_of(model_, folder_.path("f32")), HasSubstr("× smaller"));
}

TEST_F(Commands, TheDemoTellsTheWholeStoryAndCanBeRunAgain) {
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

TEST_F(Commands, OutputThatCannotBeWrittenIsSaid) {
  const std::string command = fmt::format("{} generate {} --prompt ab -n 3 > /dev/full 2> {}",
                                          HALFTONE_PROGRAM, model_, folder_.path("err"));
  const int status = std::system(command.c_str());
  EXPECT_EQ(WEXITSTATUS(status), 4);
  EXPECT_THAT(read(folder_.path("err")), HasSubstr("standard output cannot be written"));
}

TEST_F(Commands, WhatRoundingDoesNotMeasureIsNotToldOfEachLinear) {
  const auto told = [&](const std::string& method) {
    return run(quantize("out", {"--method", method, "--force", "-v"})).err;
  };
  EXPECT_THAT(told("gptq"), HasSubstr("  damping 0.01  "));
  const std::string rounded = told("rtn");
  EXPECT_THAT(rounded, HasSubstr("layer 1/2  q  "));
  EXPECT_THAT(rounded, ::testing::Not(HasSubstr("damping")));
}

TEST_F(Commands, WhatItPrintsCanBePastedIntoAShell) {
  const std::string model = make_model(folder_, "llama", "my model"),
                    output = folder_.path("it's $4 bits"), page = folder_.path("page.html");
  const Outcome made =
      run({"quantize", model, "-o", output, "--method", "rtn", "--group-size", "16", "--calib",
           text_, "--samples", "4", "--seq-len", "64", "--report", page});
  ASSERT_EQ(made.code, 0) << made.err;
  const auto works = [&](std::string command, const std::string& placeholder,
                         const std::string& value) {
    command.replace(command.rfind(placeholder), placeholder.size(), value);
    return std::system((HALFTONE_PROGRAM + command + " > /dev/null 2>&1").c_str()) == 0;
  };
  const size_t next = made.out.find("Next: halftone") + 14;
  EXPECT_TRUE(works(made.out.substr(next, made.out.find('\n', next) - next), "FILE",
                    text_ + " --seq-len 64"))
      << made.out;
  EXPECT_THAT(read(page), HasSubstr("halftone quantize --config &#39;" + folder_.path("it")));
}

TEST_F(Commands, GenerateIsRepeatable) {
  const std::vector<std::string> ask = {"generate", model_,          "--prompt", "ab",     "-n",
                                        "12",       "--temperature", "1",        "--seed", "3"};
  const Outcome first = run(ask);
  ASSERT_EQ(first.code, 0) << first.err;
  EXPECT_EQ(run(ask).out, first.out);
}

TEST_F(Commands, ConvertKeepsTheModel) {
  ASSERT_EQ(run({"convert", model_, "-o", folder_.path("f32"), "--dtype", "f32"}).code, 0);
  const auto perplexity = [&](const std::string& model) {
    const Outcome e =
        run({"eval", model, "--text", text_, "--seq-len", "64", "--dtype", "f32", "--json"});
    return parse_json(e.out, "eval")["perplexity"].get<double>();
  };
  EXPECT_DOUBLE_EQ(perplexity(model_), perplexity(folder_.path("f32")));
}

TEST_F(Commands, EveryFormatIsWrittenWhileItIsReadBack) {
  for (const char* format : {"gptq", "gptq_v2", "awq", "compressed-tensors"}) {
    const std::string out = std::string("as-") + format;
    const Outcome made = run(quantize(out, {"--format", format}));
    ASSERT_EQ(made.code, 0) << format << ": " << made.err;
    const Outcome read_back = run({"eval", folder_.path(out), "--text", text_, "--seq-len", "64",
                                   "--windows", "2", "--json"});
    EXPECT_EQ(read_back.code, 0) << format << ": " << read_back.err;
  }
}

TEST_F(Commands, EveryFamilyQuantizes) {
  for (const auto& entry :
       std::filesystem::directory_iterator(std::string(HALFTONE_SOURCE_DIR) + "/tests/data/tiny")) {
    if (!entry.is_directory()) continue;
    const std::string family = entry.path().filename().string();
    make_model(folder_, family, family);
    const Outcome made =
        run({"quantize", folder_.path(family), "-o", folder_.path(family + "-4bit"), "--group-size",
             "16", "--calib", text_, "--samples", "6", "--seq-len", "64", "--report",
             folder_.path("report.html")});
    EXPECT_EQ(made.code, 0) << family << ": " << made.err;
    EXPECT_THAT(read(folder_.path("report.html")), HasSubstr("<svg"));
  }
}

TEST_F(Commands, BenchTellsWhatAQuantizationCosts) {
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
