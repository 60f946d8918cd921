// halftone inspect: what is in a model.
#include <fmt/core.h>

#include "apps/inspect.h"
#include "apps/label_check.h"
#include "base/error.h"
#include "cli/command.h"

namespace halftone {
namespace {

class InspectCommand : public Command {
 public:
  CLI::App* add_to(CLI::App& program) override {
    CLI::App* command = program.add_subcommand(
        "inspect", "Family, shapes, types, quantization, sizes by role, tokenizer, keys");
    add_model(*command, model_);
    command->add_flag("--modules", modules_, "A line a matrix instead, by name: shape, type, bits");
    command->add_flag("--json", json_, "The same facts as JSON");
    add_example(*command, "halftone inspect qwen2.5-coder-0.5b-instruct-q4_k_m.gguf");
    return command;
  }

  int run(const Globals&) override {
    const OpenedModel model = open_model(model_);
    warn_of_wrong_label(model);
    if (json_)
      fmt::print("{}\n", (modules_ ? modules_json(model) : inspect_json(model)).dump(2));
    else
      fmt::print("{}", modules_ ? modules_text(model) : inspect_text(model));
    return static_cast<int>(Exit::done);
  }

 private:
  std::string model_;
  bool modules_ = false, json_ = false;
};

}  // namespace

std::unique_ptr<Command> make_inspect_command() { return std::make_unique<InspectCommand>(); }

}  // namespace halftone
