// halftone convert: a dense, GPTQ or GGUF model to a dense Hugging Face directory.
#include <fmt/core.h>

#include "apps/convert.h"
#include "base/error.h"
#include "base/file.h"
#include "base/progress.h"
#include "cli/command.h"

namespace halftone {
namespace {

class ConvertCommand : public Command {
 public:
  CLI::App* add_to(CLI::App& program) override {
    CLI::App* command = program.add_subcommand(
        "convert", "A dense or GGUF model to safetensors, tokenizer included");
    add_model(*command, model_);
    command->add_option("-o,--output", options_.output, "Directory to make")
        ->type_name("DIR")
        ->required();
    take_one_of(command->add_option("--dtype", options_.dtype,
                                    "What to write; auto: as stored, bf16 from a GGUF"),
                {"auto", "bf16", "f16", "f32"})
        ->capture_default_str();
    command->add_flag("--force", options_.force, "Replace OUT");
    add_example(*command, "halftone convert model.gguf -o model-bf16 --dtype bf16");
    return command;
  }

  int run(const Globals&) override {
    options_.output = directory_name(options_.output);
    const OpenedModel model = open_model(model_);
    const int64_t bytes = convert_to_dense(model, options_);
    fmt::print("Wrote {}  {}\n", options_.output, human_bytes(bytes));
    return static_cast<int>(Exit::done);
  }

 private:
  std::string model_;
  ConvertOptions options_;
};

}  // namespace

std::unique_ptr<Command> make_convert_command() { return std::make_unique<ConvertCommand>(); }

}  // namespace halftone
