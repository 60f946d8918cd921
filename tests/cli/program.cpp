// Processes, folders and a tiny model for the tests of the command line.
#include "program.h"

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <map>
#include <sstream>
#include <stdexcept>

#include "base/json.h"
#include "base/rng.h"

namespace halftone::test {
namespace {

namespace fs = std::filesystem;

std::string temporary_name() {
  char name[] = "/tmp/halftone-cli-XXXXXX";
  const int file = mkstemp(name);
  if (file < 0) throw std::runtime_error("mkstemp");
  close(file);
  return name;
}

void redirect(const std::string& path, int flags, int to) {
  const int file = open(path.c_str(), flags, 0600);
  dup2(file, to);
  close(file);
}

// Bytes 33 … 126 stand for themselves in byte-level BPE; blank, newline and tab are Ġ, Ċ, ĉ.
std::string ascii_tokenizer() {
  Json vocab = Json::object();
  int id = 0;
  vocab["\xC4\xA0"] = id++;
  vocab["\xC4\x8A"] = id++;
  vocab["\xC4\x89"] = id++;
  for (char c = 33; c < 127; ++c) vocab[std::string(1, c)] = id++;
  Json json;
  json["version"] = "1.0";
  json["truncation"] = nullptr;
  json["padding"] = nullptr;
  json["added_tokens"] = Json::array();
  json["normalizer"] = nullptr;
  json["pre_tokenizer"] = {{"type", "ByteLevel"},
                           {"add_prefix_space", false},
                           {"trim_offsets", true},
                           {"use_regex", true}};
  json["post_processor"] = nullptr;
  json["decoder"] = json["pre_tokenizer"];
  json["model"] = {{"type", "BPE"},
                   {"dropout", nullptr},
                   {"unk_token", nullptr},
                   {"continuing_subword_prefix", nullptr},
                   {"end_of_word_suffix", nullptr},
                   {"fuse_unk", false},
                   {"byte_fallback", false},
                   {"vocab", vocab},
                   {"merges", Json::array()}};
  return json.dump();
}

}  // namespace

Running::Running(const std::vector<std::string>& arguments, const std::string& input)
    : out_path_(temporary_name()), err_path_(temporary_name()) {
  std::vector<char*> argv = {const_cast<char*>(HALFTONE_PROGRAM)};
  for (const std::string& argument : arguments) argv.push_back(const_cast<char*>(argument.c_str()));
  argv.push_back(nullptr);
  pid_ = fork();
  if (pid_ != 0) return;
  redirect(input.empty() ? "/dev/null" : input, O_RDONLY, 0);
  redirect(out_path_, O_WRONLY | O_TRUNC, 1);
  redirect(err_path_, O_WRONLY | O_TRUNC, 2);
  execv(argv[0], argv.data());
  _exit(127);
}

Running::~Running() {
  if (!reaped_) {
    kill(pid_, SIGKILL);
    waitpid(pid_, &status_, 0);
  }
  fs::remove(out_path_);
  fs::remove(err_path_);
}

void Running::signal(int number) const { kill(pid_, number); }

bool Running::alive() const {
  if (!reaped_ && waitpid(pid_, &status_, WNOHANG) == pid_) reaped_ = true;
  return !reaped_;
}

bool Running::catches(int number) const {
  std::istringstream status(read("/proc/" + std::to_string(pid_) + "/status"));
  for (std::string line; std::getline(status, line);)
    if (line.rfind("SigCgt:", 0) == 0)
      return (std::stoull(line.substr(7), nullptr, 16) >> (number - 1) & 1) != 0;
  return false;
}

Outcome Running::wait() {
  if (!reaped_) waitpid(pid_, &status_, 0);
  reaped_ = true;
  const int code = WIFEXITED(status_) ? WEXITSTATUS(status_) : 128 + WTERMSIG(status_);
  return {code, read(out_path_), read(err_path_)};
}

Outcome run(const std::vector<std::string>& arguments, const std::string& input) {
  return Running(arguments, input).wait();
}

Folder::Folder() {
  char name[] = "/tmp/halftone-cli-XXXXXX";
  if (!mkdtemp(name)) throw std::runtime_error("mkdtemp");
  root_ = name;
}

Folder::~Folder() {
  std::error_code ignored;
  fs::remove_all(root_, ignored);
}

std::string Folder::path(const std::string& name) const {
  return name.empty() ? root_ : root_ + "/" + name;
}

std::string Folder::write(const std::string& name, const std::string& text) const {
  std::ofstream(path(name), std::ios::binary) << text;
  return path(name);
}

std::string make_model(const Folder& folder, const std::string& family, const std::string& name) {
  const std::string to = folder.path(name);
  fs::copy(std::string(HALFTONE_SOURCE_DIR) + "/tests/data/tiny/" + family, to);
  std::ofstream(to + "/tokenizer.json") << ascii_tokenizer();
  return to;
}

std::string make_text(int lines, unsigned seed) {
  Rng rng(seed);
  std::string text;
  for (int line = 0; line < lines; ++line) {
    for (int word = 0; word < 8; ++word) {
      const uint64_t letters = 2 + rng.below(7);
      for (uint64_t i = 0; i < letters; ++i) text += static_cast<char>('a' + rng.below(26));
      text += word == 7 ? '\n' : ' ';
    }
  }
  return text;
}

void edit_header(const std::string& path, const std::function<void(Json& header)>& edit) {
  const std::string bytes = read(path);
  uint64_t size = 0;
  std::memcpy(&size, bytes.data(), sizeof size);
  Json header = Json::parse(bytes.substr(sizeof size, size));
  edit(header);
  const std::string text = header.dump();
  const uint64_t written = text.size();
  std::ofstream(path, std::ios::binary)
          .write(reinterpret_cast<const char*>(&written), sizeof written)
      << text << bytes.substr(sizeof size + size);
}

void set_tensor(const std::string& path, const std::string& name, float value) {
  std::string bytes = read(path);
  uint64_t size = 0;
  std::memcpy(&size, bytes.data(), sizeof size);
  const Json entry = Json::parse(bytes.substr(sizeof size, size)).at(name);
  uint32_t bits = 0;
  std::memcpy(&bits, &value, sizeof bits);
  const size_t data = sizeof size + size;
  const auto begin = entry["data_offsets"][0].get<size_t>(),
             end = entry["data_offsets"][1].get<size_t>();
  for (size_t at = data + begin; at < data + end; at += 2) {
    bytes[at] = static_cast<char>(bits >> 16);
    bytes[at + 1] = static_cast<char>(bits >> 24);
  }
  std::ofstream(path, std::ios::binary) << bytes;
}

std::string read(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

std::string tree(const std::string& directory) {
  std::map<std::string, std::string> files;
  for (const auto& entry : fs::recursive_directory_iterator(directory))
    if (entry.is_regular_file())
      files[fs::relative(entry.path(), directory).string()] = read(entry.path().string());
  std::string all;
  for (const auto& [name, bytes] : files)
    all += name + "\n" + std::to_string(bytes.size()) + "\n" + bytes;
  return all;
}

std::string listing(const std::string& directory) {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(directory))
    names.push_back(entry.path().filename().string());
  std::sort(names.begin(), names.end());
  std::string all;
  for (const std::string& name : names) all += (all.empty() ? "" : " ") + name;
  return all;
}

}  // namespace halftone::test
