// halftone tokenize: the ids and pieces of a text.
#include <fmt/core.h>

#include <iostream>
#include <iterator>

#include "base/error.h"
#include "base/file.h"
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
    command->add_option("--text", text_, "A file, or - for standard input")
        ->type_name("FILE")
        ->capture_default_str();
    command->add_flag("--special", special_,
                      "Add what the tokenizer puts around a text (BOS, EOS)");
    command->add_flag("--json", json_, "{\"ids\": […], \"pieces\": […]}");
    add_example(
        *command,
        "echo Hello | halftone tokenize Qwen2.5-7B-Instruct\n\n"
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
  static std::string read_standard_input() {
    return {std::istreambuf_iterator<char>(std::cin), std::istreambuf_iterator<char>()};
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
