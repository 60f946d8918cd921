// halftone tokenize: the ids and pieces of a text.
#include <fmt/core.h>
#include <poll.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>

#include "base/error.h"
#include "base/file.h"
#include "base/interrupt.h"
#include "base/json.h"
#include "base/log.h"
#include "cli/command.h"
#include "io/checkpoint.h"
#include "text/tokenizer.h"
#include "text/unicode.h"

namespace halftone {
namespace {

class TokenizeCommand : public Command {
 public:
  CLI::App* add_to(CLI::App& program) override {
    CLI::App* command = program.add_subcommand("tokenize", "Token ids and pieces of a text");
    add_model(*command, model_);
    take_once(command->add_option("--text", text_, "A file, or - for standard input"))
        ->type_name("FILE")
        ->capture_default_str();
    command->add_flag("--special", special_,
                      "Add what the tokenizer puts around a text (BOS, EOS)");
    command->add_flag("--json", json_, "{\"ids\": […], \"pieces\": […]}");
    add_example(
        *command,
        "echo Hello | halftone tokenize Qwen/Qwen2.5-7B-Instruct\n\n"
        "A line a token: its id, its piece as the vocabulary spells it (in byte-level ones a "
        "blank\nis Ġ, a line's end Ċ, and each byte of other letters a letter), and the text "
        "it stands for.");
    return command;
  }

  int run(const Globals&) override {
    const Checkpoint checkpoint = Checkpoint::open(model_);
    const Tokenizer tokenizer = Tokenizer::load(checkpoint.metadata());
    const std::string text = text_ == "-" ? read_standard_input() : read_file(text_);
    if (const auto invalid = find_invalid_utf8(text))
      spdlog::warn("{}: not UTF-8 (byte {}): what is broken becomes U+FFFD", text_, *invalid);
    const std::vector<int32_t> ids = tokenizer.encode(text, special_);
    if (json_)
      print_json(tokenizer, ids);
    else
      for (const int32_t id : ids)
        fmt::print("{:>8}  {:<16}  {}\n", id, tokenizer.piece(id),
                   Json(tokenizer.decode({id}, false)).dump());
    return static_cast<int>(Exit::done);
  }

 private:
  // Waits in short turns: what interrupts a run is a flag, which a blocked read would not see.
  static std::string read_standard_input() {
    constexpr int kTurn = 100;  // milliseconds
    std::string text;
    std::array<char, 65536> buffer;
    for (;;) {
      throw_if_interrupted();
      pollfd input{.fd = STDIN_FILENO, .events = POLLIN, .revents = 0};
      if (::poll(&input, 1, kTurn) == 0) continue;
      const ssize_t count = ::read(STDIN_FILENO, buffer.data(), buffer.size());
      if (count == 0) return text;
      if (count > 0)
        text.append(buffer.data(), static_cast<size_t>(count));
      else if (errno != EINTR)
        throw bad_input("standard input cannot be read: {}", std::strerror(errno));
    }
  }

  static void print_json(const Tokenizer& tokenizer, const std::vector<int32_t>& ids) {
    Json json;
    json["ids"] = ids;
    Json pieces = Json::array();
    for (const int32_t id : ids) pieces.push_back(tokenizer.piece(id));
    json["pieces"] = std::move(pieces);
    fmt::print("{}\n", json.dump(-1, ' ', false, Json::error_handler_t::replace));
  }

  std::string model_, text_ = "-";
  bool special_ = false, json_ = false;
};

}  // namespace

std::unique_ptr<Command> make_tokenize_command() { return std::make_unique<TokenizeCommand>(); }

}  // namespace halftone
