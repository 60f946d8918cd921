// quantize end to end: what it writes, prints and logs.
#include <gmock/gmock.h>

#include <algorithm>
#include <filesystem>

#include "base/json.h"
#include "commands.h"

namespace halftone::test {
namespace {

using ::testing::HasSubstr;

class Quantize : public Commands {};

TEST_F(Quantize, QuantizeWritesAWholeDirectoryAndNothingBesideIt) {
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
TEST_F(Quantize, WholeDocumentsCalibrate) {
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

TEST_F(Quantize, TheLogHoldsALinePerLinear) {
  ASSERT_EQ(run(quantize("out")).code, 0);
  const std::string log = read(folder_.path("out.log.jsonl"));
  EXPECT_EQ(std::count(log.begin(), log.end(), '\n'), 2 * 7);
  const Json first = parse_json(log.substr(0, log.find('\n')), "log");
  for (const char* key : {"layer", "module", "shape", "relative_error", "damping", "seconds",
                          "eta_seconds", "peak_memory_bytes"})
    EXPECT_TRUE(first.contains(key)) << key;
}

TEST_F(Quantize, GptqLosesLessThanRoundToNearest) {
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

TEST_F(Quantize, ADryRunWritesNothing) {
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

TEST_F(Quantize, SkippedModulesStayAsTheyWere) {
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

TEST_F(Quantize, ASlashAtTheEndOfTheOutputIsNoPartOfItsName) {
  std::vector<std::string> all = quantize("out/");
  ASSERT_EQ(run(all).code, 0);
  EXPECT_EQ(listing(folder_.path()), "model out out.log.jsonl text.txt");
  all.push_back("--force");
  EXPECT_EQ(run(all).code, 0);
  EXPECT_EQ(listing(folder_.path()), "model out out.log.jsonl text.txt");
}

TEST_F(Quantize, WhatRoundingDoesNotMeasureIsNotToldOfEachLinear) {
  const auto told = [&](const std::string& method) {
    return run(quantize("out", {"--method", method, "--force", "-v"})).err;
  };
  EXPECT_THAT(told("gptq"), HasSubstr("  damping 0.01  "));
  const std::string rounded = told("rtn");
  EXPECT_THAT(rounded, HasSubstr("layer 1/2  q  "));
  EXPECT_THAT(rounded, ::testing::Not(HasSubstr("damping")));
}

TEST_F(Quantize, EveryFormatIsWrittenWhileItIsReadBack) {
  for (const char* format : {"gptq", "gptq_v2", "awq", "compressed-tensors"}) {
    const std::string out = std::string("as-") + format;
    const Outcome made = run(quantize(out, {"--format", format}));
    ASSERT_EQ(made.code, 0) << format << ": " << made.err;
    const Outcome read_back = run({"eval", folder_.path(out), "--text", text_, "--seq-len", "64",
                                   "--windows", "2", "--json"});
    EXPECT_EQ(read_back.code, 0) << format << ": " << read_back.err;
  }
}

TEST_F(Quantize, EveryFamilyQuantizes) {
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

}  // namespace
}  // namespace halftone::test
