// Running the built program as a user would, on a tiny model made for the purpose.
#pragma once

#include <sys/types.h>

#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "base/json.h"

namespace halftone::test {

struct Outcome {
  int code = 0;  // exit code; 128 + signal when killed
  std::string out, err;
};

// A process of the program; its output goes to files until it is waited for.
class Running {
 public:
  explicit Running(const std::vector<std::string>& arguments, const std::string& input = "");
  ~Running();
  Running(const Running&) = delete;
  void signal(int number) const;
  bool alive() const;
  // Whether it has installed a handler: before that, a signal kills it as it would any program.
  bool catches(int number) const;
  Outcome wait();

 private:
  pid_t pid_;
  mutable int status_ = 0;
  mutable bool reaped_ = false;
  std::string out_path_, err_path_;
};

Outcome run(const std::vector<std::string>& arguments, const std::string& input = "");

// A directory of its own, deleted at the end.
class Folder {
 public:
  Folder();
  ~Folder();
  std::string path(const std::string& name = "") const;
  std::string write(const std::string& name, const std::string& text) const;

 private:
  std::string root_;
};

// A copy of a tiny model of tests/data/tiny with an ASCII tokenizer beside it.
std::string make_model(const Folder& folder, const std::string& family = "llama",
                       const std::string& name = "model");
// `lines` lines of words, ASCII, no two alike.
std::string make_text(int lines, unsigned seed = 1);

// Rewrites a safetensors header; the data stay as they are.
void edit_header(const std::string& path, const std::function<void(Json& header)>& edit);
// Sets every value of a bf16 tensor.
void set_tensor(const std::string& path, const std::string& name, float value);

std::string read(const std::string& path);
// Every file below `directory` with its bytes, in one string: equal strings, equal trees.
std::string tree(const std::string& directory);
// The names in `directory`, sorted and joined by blanks.
std::string listing(const std::string& directory);

}  // namespace halftone::test
