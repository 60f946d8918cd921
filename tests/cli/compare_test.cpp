// `compare` end to end on a tiny model: its cells are what quantize and eval make one by one.
#include <fmt/format.h>
#include <gmock/gmock.h>

#include <chrono>
#include <csignal>
#include <filesystem>
#include <thread>
#include <tuple>

#include "base/json.h"
#include "program.h"

namespace halftone::test {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

class Compare : public ::testing::Test {
 protected:
  Compare() : model_(make_model(folder_)), text_(folder_.write("text.txt", make_text(400))) {}

  Folder folder_;
  std::string model_, text_;
};

TEST_F(Compare, MeasuresEveryCellAndGoesOnFromThoseThatAreThere) {
  const std::string other = folder_.write("other.txt", make_text(400, 3));
  const std::vector<std::string> compare = {"compare",
                                            model_,
                                            "--methods",
                                            "rtn,gptq",
                                            "--bits",
                                            "4,8",
                                            "-g",
                                            "16",
                                            "--calib",
                                            text_,
                                            "--samples",
                                            "4",
                                            "--seq-len",
                                            "64",
                                            "--text",
                                            other,
                                            "--windows",
                                            "99999",
                                            "--json",
                                            "--protocol",
                                            "llama.cpp",
                                            "--report",
                                            folder_.path("compare.html")};
  const Outcome refused = run(compare);
  EXPECT_EQ(refused.code, 3);  // before any cell
  EXPECT_THAT(refused.err, HasSubstr("99,999 windows"));
  std::vector<std::string> right = compare;
  right[17] = "2";
  right.insert(right.end(), {"-o", folder_.path("cells")});
  const Outcome first = run(right);
  ASSERT_EQ(first.code, 0) << first.err;
  const Json table = parse_json(first.out, "compare");
  ASSERT_EQ(table["rows"].size(), 4u);
  for (const Json& row : table["rows"]) {
    // As eval measures the model that was kept.
    std::string cell =
        fmt::format("{}-{}bit-g16", row["method"].get<std::string>(), row["bits"].get<int>());
    if (row["method"] == "gptq") cell += "-4x";
    const Outcome alone = run({"eval", folder_.path("cells/" + cell), "--against", model_, "--text",
                               other, "--windows", "2", "--protocol", "llama.cpp", "--json"});
    ASSERT_EQ(alone.code, 0) << alone.err;
    const Json expected = parse_json(alone.out, "eval");
    for (const char* key : {"kl_mean", "perplexity", "base_perplexity", "size_bytes"})
      EXPECT_EQ(row[key], expected[key]) << cell << " " << key;
  }
  EXPECT_THAT(read(folder_.path("compare.html")), HasSubstr("Loss against size"));
  const Outcome again = run(right);
  ASSERT_EQ(again.code, 0) << again.err;
  EXPECT_EQ(parse_json(again.out, "compare")["rows"][0]["quantize_seconds"], 0);
  EXPECT_EQ(parse_json(again.out, "compare")["rows"][3]["kl_mean"], table["rows"][3]["kl_mean"]);
}

// What is there was made otherwise: which directory, and in what.
TEST_F(Compare, NamesTheDirectoryThatIsInTheWay) {
  std::vector<std::string> compare = {
      "compare",    model_,      "--methods", "rtn", "-g",        "16",
      "--calib",    text_,       "--text",    text_, "--windows", "2",
      "--protocol", "llama.cpp", "--seq-len", "64",  "-o",        folder_.path("cells")};
  const Outcome made = run(compare);
  ASSERT_EQ(made.code, 0) << made.err;
  compare.push_back("--asym");
  const Outcome refused = run(compare);
  EXPECT_EQ(refused.code, 2);
  EXPECT_THAT(refused.err, HasSubstr("cells/rtn-4bit-g16 exists"));
  EXPECT_THAT(refused.err, HasSubstr("made with sym = true, not asym = true"));
  EXPECT_THAT(refused.err, HasSubstr("rm -r "));
  EXPECT_THAT(refused.err, Not(HasSubstr("--force")));
}

// Of one name in two directories: what is made of one is not taken for the other's.
TEST_F(Compare, TellsFilesOfOneNameApart) {
  for (const char* directory : {"a", "b"})
    std::filesystem::create_directory(folder_.path(directory));
  const std::string one = folder_.write("a/text.txt", make_text(400, 4)),
                    two = folder_.write("b/text.txt", make_text(400, 5));
  const std::vector<std::string> compare = {
      "compare",    model_,      "--methods", "gptq",      "--bits",
      "4",          "-g",        "16",        "--calib",   one,
      "--calib",    two,         "--samples", "4",         "--seq-len",
      "64",         "--text",    text_,       "--windows", "2",
      "--protocol", "llama.cpp", "--json",    "-o",        folder_.path("cells")};
  const Outcome made = run(compare);
  ASSERT_EQ(made.code, 0) << made.err;
  const Json rows = parse_json(made.out, "compare")["rows"];
  ASSERT_EQ(rows.size(), 2u);
  EXPECT_EQ(rows[0]["calibration"], one);
  EXPECT_EQ(rows[1]["calibration"], two);
  EXPECT_NE(rows[0]["kl_mean"], rows[1]["kl_mean"]);

  // Nor what was made of an older text for the newer one's.
  folder_.write("a/text.txt", make_text(400, 6));
  const Outcome again = run(compare);
  ASSERT_EQ(again.code, 0) << again.err;
  const Json later = parse_json(again.out, "compare")["rows"];
  EXPECT_NE(later[0]["kl_mean"], rows[0]["kl_mean"]);
  EXPECT_EQ(later[1]["kl_mean"], rows[1]["kl_mean"]);
  EXPECT_EQ(later[1]["quantize_seconds"], 0);
}

// Cells whose scales are found in one pass are, byte for byte, what quantize makes alone; also when
// the comparison is killed on the way.
class SharedScales : public Compare {
 protected:
  std::vector<std::string> compare(const std::string& cells) const {
    return {"compare",    model_,      "--methods", "awq,awq+gptq", "--bits",           "4,8",
            "-g",         "16",        "--calib",   text_,          "--samples",        "32",
            "--seq-len",  "64",        "--text",    text_,          "--windows",        "2",
            "--protocol", "llama.cpp", "--json",    "-o",           folder_.path(cells)};
  }
  void expect_as_alone(const std::string& cells) const {
    for (const std::string method : {"awq", "awq+gptq"})
      for (const std::string bits : {"4", "8"}) {
        const std::string out = folder_.path("alone-" + method + bits);
        if (!std::filesystem::exists(out)) {
          const Outcome alone =
              run({"quantize", model_, "--method", method, "--bits", bits, "-g", "16", "--calib",
                   text_, "--samples", "32", "--seq-len", "64", "-o", out});
          ASSERT_EQ(alone.code, 0) << alone.err;
        }
        EXPECT_EQ(tree(folder_.path(cells + "/" + method + "-" + bits + "bit-g16-32x")), tree(out));
      }
    EXPECT_FALSE(std::filesystem::exists(folder_.path(cells + "/channel-scales.journal")));
  }
};

TEST_F(SharedScales, CellsAreWhatQuantizeMakesAlone) {
  const Outcome made = run(compare("cells"));
  ASSERT_EQ(made.code, 0) << made.err;
  for (const Json& row : parse_json(made.out, "compare")["rows"])
    EXPECT_GT(row["quantize_seconds"], 0);
  expect_as_alone("cells");
}

TEST_F(SharedScales, AKilledComparisonGoesOn) {
  const std::string journal = folder_.path("cells/channel-scales.journal");
  int kills = 0;
  for (int attempt = 0; attempt < 6; ++attempt) {
    Running program(compare("cells"));
    std::error_code missing;
    while (program.alive() && !(std::filesystem::file_size(journal, missing) > 2000 && !missing))
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    std::this_thread::sleep_for(std::chrono::milliseconds(40 * attempt));
    if (!program.alive()) break;
    program.signal(SIGKILL);
    EXPECT_EQ(program.wait().code, 128 + SIGKILL);
    ++kills;
  }
  EXPECT_GT(kills, 0);
  const Outcome last = run(compare("cells"));
  ASSERT_EQ(last.code, 0) << last.err;
  expect_as_alone("cells");
}

TEST_F(SharedScales, AnInterruptSaysHowToGoOn) {
  const std::string journal = folder_.path("cells/channel-scales.journal");
  Running program(compare("cells"));
  while (program.alive() && !std::filesystem::exists(journal))
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  program.signal(SIGINT);
  const Outcome stopped = program.wait();
  EXPECT_EQ(stopped.code, 130) << stopped.err;
  EXPECT_THAT(stopped.err, HasSubstr("stopped in cell 1 of 4"));
  EXPECT_THAT(stopped.err, HasSubstr("the same command goes on"));
  EXPECT_THAT(stopped.err, Not(HasSubstr("--resume")));
}

// Each cell takes what its method looks at; the table says what was asked of all.
TEST_F(Compare, StepsThatAreAskedForAreThoseOfEveryCell) {
  const std::vector<std::string> compare = {"compare",
                                            model_,
                                            "--methods",
                                            "rtn,gptq,awq",
                                            "-g",
                                            "16",
                                            "--calib",
                                            text_,
                                            "--samples",
                                            "4",
                                            "--seq-len",
                                            "64",
                                            "--text",
                                            text_,
                                            "--windows",
                                            "2",
                                            "--protocol",
                                            "llama.cpp",
                                            "--json",
                                            "--format",
                                            "compressed-tensors",
                                            "--order",
                                            "none",
                                            "--token-weights",
                                            "none",
                                            "--calib-inputs",
                                            "original",
                                            "--scale-search",
                                            "importance",
                                            "--damp",
                                            "0.05",
                                            "-o",
                                            folder_.path("cells")};
  const Outcome made = run(compare);
  ASSERT_EQ(made.code, 0) << made.err;
  const Json table = parse_json(made.out, "compare");
  const Json& rows = table["rows"];
  EXPECT_EQ(rows[0]["scale_search"], "minmax");
  EXPECT_FALSE(rows[0].contains("order"));
  EXPECT_EQ(rows[1]["order"], "none");
  EXPECT_EQ(rows[1]["token_weights"], "none");
  EXPECT_EQ(rows[1]["calib_inputs"], "original");
  EXPECT_EQ(rows[2]["scale_search"], "importance");
  EXPECT_FALSE(rows[2].contains("order"));
  EXPECT_EQ(
      table["notes"].front(),
      "all cells: --format compressed-tensors, --damp 0.05, --order none, --token-weights none, "
      "--calib-inputs original, --scale-search importance");
  const std::string settings = read(folder_.path(
      "cells/gptq-4bit-g16-4x-order-none-tokens-none-inputs-original-search-importance/"
      "quantize.toml"));
  for (const char* line :
       {"format = \"compressed-tensors\"", "damp = 0.05", "order = \"none\"",
        "token-weights = \"none\"", "calib-inputs = \"original\"", "scale-search = \"importance\""})
    EXPECT_THAT(settings, HasSubstr(line));
}

// Of a GGUF the types are the cells: with groups of their own, whatever -g says.
TEST_F(Compare, CellsOfAGgufAreItsTypes) {
  std::vector<std::string> compare = {
      "compare",   model_,       "--methods", "rtn,gptq",  "--format",
      "gguf",      "--calib",    text_,       "--samples", "4",
      "--seq-len", "64",         "--text",    text_,       "--windows",
      "2",         "--protocol", "llama.cpp", "--report",  folder_.path("compare.html")};
  const auto with = [&](const std::vector<std::string>& more) {
    std::vector<std::string> all = compare;
    all.insert(all.end(), more.begin(), more.end());
    return run(all);
  };
  const Outcome groups = with({"--bits", "4,8", "-g", "64,128", "--json"});
  ASSERT_EQ(groups.code, 0) << groups.err;
  const Json table = parse_json(groups.out, "compare");
  ASSERT_EQ(table["rows"].size(), 4u);
  for (const Json& row : table["rows"]) {
    EXPECT_EQ(row["group_size"], 32);
    EXPECT_EQ(row["gguf_type"], row["bits"] == 4 ? "Q4_0" : "Q8_0");
  }
  EXPECT_EQ(table["notes"][0],
            "4 of 8 cells come to what others do, and are not made again: the types of a GGUF have "
            "groups of their own");

  const Outcome types = with({"--gguf-type", "q4_0,Q5_1", "-o", folder_.path("cells")});
  ASSERT_EQ(types.code, 0) << types.err;
  EXPECT_THAT(types.out, HasSubstr("method          type  bits/weight"));
  EXPECT_THAT(types.out, HasSubstr("\ngptq            Q5_1 "));
  EXPECT_THAT(types.out, HasSubstr("← least loss of Q4_0\n"));
  EXPECT_THAT(read(folder_.path("compare.html")), HasSubstr("gptq Q4_0"));
  EXPECT_EQ(listing(folder_.path("cells")),
            "gptq-Q4_0-4x gptq-Q4_0-4x.log.jsonl gptq-Q5_1-4x gptq-Q5_1-4x.log.jsonl rtn-Q4_0 "
            "rtn-Q4_0.log.jsonl rtn-Q5_1 rtn-Q5_1.log.jsonl");

  EXPECT_EQ(with({"--gguf-type", "Q4_0", "--bits", "4"}).code, 2);
  EXPECT_THAT(with({"--gguf-type", "Q4_9"}).err, HasSubstr("the nearest is Q4_"));
}

// What differs stands in the names, also of cells that another comparison left beside these.
TEST_F(Compare, NoTwoCellsShareADirectory) {
  const std::string rules = R"({"+:.*(o|down)_proj": {"bits": 8}})",
                    alike = R"({"+:.*o_(down_)?proj": {"bits": 8}})";
  const std::vector<std::string> compare = {
      "compare",   model_, "--methods", "gptq", "-g",         "16",
      "--calib",   text_,  "--samples", "4",    "--seq-len",  "64",
      "--text",    text_,  "--windows", "2",    "--protocol", "llama.cpp",
      "--dynamic", rules,  "--dynamic", alike,  "-o",         folder_.path("cells")};
  const Outcome made = run(compare);
  ASSERT_EQ(made.code, 0) << made.err;
  std::vector<std::string> steps = compare;
  steps.resize(steps.size() - 6);
  steps.insert(steps.end(), {"--order", "none", "-o", folder_.path("cells")});
  const Outcome beside = run(steps);
  ASSERT_EQ(beside.code, 0) << beside.err;
  std::vector<std::string> cells;
  for (const auto& entry : std::filesystem::directory_iterator(folder_.path("cells")))
    if (entry.is_directory()) cells.push_back(entry.path().filename());
  EXPECT_THAT(cells, ::testing::UnorderedElementsAre(
                         "gptq-4bit-g16-4x", "gptq-4bit-g16-4x-order-none",
                         ::testing::MatchesRegex("gptq-4bit-g16-4x-[^ {}\"]+-[0-9a-f]{8}"),
                         ::testing::MatchesRegex("gptq-4bit-g16-4x-[^ {}\"]+-[0-9a-f]{8}")));
}

TEST_F(Compare, RefusesAnOutputThatIsAFile) {
  const std::vector<std::string> compare = {"compare", model_, "--methods", "rtn", "-g", "16",
                                            "--calib", text_,  "--text",    text_, "-o"};
  for (const auto& [place, code, what] :
       {std::tuple(text_, 2, "is a file"), std::tuple(text_ + "/cells", 3, "cannot be made")}) {
    std::vector<std::string> with = compare;
    with.push_back(place);
    const Outcome refused = run(with);
    EXPECT_EQ(refused.code, code);
    EXPECT_THAT(refused.err, HasSubstr("halftone: -o " + place + ": " + what));
  }
}

}  // namespace
}  // namespace halftone::test
