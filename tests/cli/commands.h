// A tiny model and a text to calibrate on, for tests of commands end to end.
#pragma once

#include <gtest/gtest.h>

#include "program.h"

namespace halftone::test {

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

}  // namespace halftone::test
