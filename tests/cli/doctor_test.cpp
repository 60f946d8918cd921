// halftone doctor as a user meets it: the machine, a model, a label that lies and its repair.
#include <gmock/gmock.h>

#include <filesystem>

#include "base/json.h"
#include "program.h"

namespace halftone::test {
namespace {

using ::testing::HasSubstr;

class Doctor : public ::testing::Test {
 protected:
  Doctor() : model_(make_model(folder_)), text_(folder_.write("text.txt", make_text(300))) {}

  // The tiny model, rounded to nearest; `more`: --asym, --format.
  std::string quantized(const std::string& name, std::vector<std::string> more = {}) const {
    std::vector<std::string> all = {
        "quantize", model_,    "-o",  folder_.path(name), "--method", "rtn",       "--group-size",
        "16",       "--calib", text_, "--samples",        "4",        "--seq-len", "64"};
    all.insert(all.end(), more.begin(), more.end());
    const Outcome made = run(all);
    EXPECT_EQ(made.code, 0) << made.err;
    return folder_.path(name);
  }

  // Replaces every version in both files.
  void mislabel(const std::string& name, const std::string& from, const std::string& to) const {
    for (const char* file : {"/config.json", "/quantize_config.json"}) {
      std::string text = read(folder_.path(name) + file);
      for (const char* key : {"\"checkpoint_format\": \"", "\"format\": \""}) {
        const size_t at = text.find(key + from + "\"");
        ASSERT_NE(at, std::string::npos) << file << text;
        text.replace(at + std::string(key).size(), from.size(), to);
      }
      folder_.write(name + file, text);
    }
  }

  void check_repair(const std::string& name, const std::string& right, const std::string& wrong) {
    const std::string before = tree(folder_.path(name));
    mislabel(name, right, wrong);
    const std::string mislabelled = tree(folder_.path(name));
    const Outcome found = run({"doctor", folder_.path(name)});
    EXPECT_EQ(found.code, 3) << found.out;
    EXPECT_THAT(found.out, HasSubstr("✗ zero points"));
    EXPECT_THAT(found.out, HasSubstr("--fix"));

    const std::string repaired = folder_.path(name + "-repaired");
    const Outcome fixed = run({"doctor", folder_.path(name), "--fix", "-o", repaired});
    EXPECT_EQ(fixed.code, 0) << fixed.err;
    EXPECT_EQ(tree(folder_.path(name)), mislabelled) << "changed in place";
    EXPECT_EQ(tree(repaired), before) << "more than the label";
    EXPECT_EQ(run({"doctor", repaired}).code, 0);
  }

  Folder folder_;
  std::string model_, text_;
};

TEST_F(Doctor, TheMachineIsATable) {
  const Outcome text = run({"doctor"});
  EXPECT_EQ(text.code, 0) << text.err;
  for (const char* word : {"AVX2", "memory", "disk", "driver", "caches", "bits"})
    EXPECT_THAT(text.out, HasSubstr(word));
  const Json json = parse_json(run({"doctor", "--json"}).out, "doctor");
  EXPECT_GT(json["memory_limit_bytes"].get<int64_t>(), 0);
  EXPECT_TRUE(json["processor"].contains("amx"));
}

TEST_F(Doctor, AHealthyModelIsSaidToBe) {
  const std::string gptq = quantized("gptq");
  for (const std::string format : {"gptq_v2", "awq", "compressed-tensors", "safetensors"}) {
    const std::string path = folder_.path("as-" + format);
    const Outcome made = run({"convert", gptq, "-o", path, "--format", format});
    ASSERT_EQ(made.code, 0) << made.err;
    const Outcome outcome = run({"doctor", path});
    EXPECT_EQ(outcome.code, 0) << outcome.out << outcome.err;
    EXPECT_THAT(outcome.out, HasSubstr("Nothing is broken."));
    EXPECT_THAT(outcome.out, HasSubstr("vLLM"));
  }
}

TEST_F(Doctor, ASymmetricModelUnderTheWrongLabelIsRepaired) {
  quantized("sym");
  check_repair("sym", "gptq", "gptq_v2");
}

TEST_F(Doctor, AnAsymmetricModelUnderTheWrongLabelIsRepaired) {
  quantized("asym", {"--asym"});
  check_repair("asym", "gptq_v2", "gptq");
}

TEST_F(Doctor, NothingIsWrittenWhereNothingIsMislabelled) {
  const Outcome outcome = run({"doctor", model_, "--fix", "-o", folder_.path("out")});
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_FALSE(std::filesystem::exists(folder_.path("out")));
}

TEST_F(Doctor, NeverRepairsInPlace) {
  quantized("sym");
  mislabel("sym", "gptq", "gptq_v2");
  const Outcome outcome =
      run({"doctor", folder_.path("sym"), "--fix", "-o", folder_.path("sym"), "--force"});
  EXPECT_EQ(outcome.code, 2);
  EXPECT_THAT(outcome.err, HasSubstr("never changed"));
}

TEST_F(Doctor, BrokenFilesEndWithThree) {
  const std::string weights = model_ + "/model.safetensors";
  std::filesystem::resize_file(weights, std::filesystem::file_size(weights) - 1);
  const Outcome outcome = run({"doctor", model_, "--json"});
  EXPECT_EQ(outcome.code, 3);
  const Json json = parse_json(outcome.out, "doctor");
  EXPECT_FALSE(json["healthy"].get<bool>());
  EXPECT_EQ(json["findings"][0]["subject"], "files");
}

TEST_F(Doctor, UsageIsChecked) {
  EXPECT_EQ(run({"doctor", folder_.path("nothing")}).code, 2);
  EXPECT_EQ(run({"doctor", model_, "--fix"}).code, 2);
  EXPECT_EQ(run({"doctor", "--fix", "-o", folder_.path("out")}).code, 2);
}

}  // namespace
}  // namespace halftone::test
