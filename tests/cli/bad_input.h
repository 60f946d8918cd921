// A tiny model and a text that tests damage, and what a refusal must look like.
#pragma once

#include <gmock/gmock.h>

#include <algorithm>
#include <filesystem>
#include <functional>

#include "base/json.h"
#include "program.h"

namespace halftone::test {

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
    EXPECT_THAT(outcome.err, ::testing::HasSubstr(words));
    EXPECT_THAT(outcome.err, ::testing::HasSubstr("halftone: "));
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

}  // namespace halftone::test
