// halftone generate: what the model writes after a prompt, streamed to stdout.
#include <fmt/core.h>

#include <cerrno>
#include <cstdio>
#include <cstring>

#include "apps/generate.h"
#include "apps/label_check.h"
#include "base/count_text.h"
#include "base/error.h"
#include "base/log.h"
#include "base/progress.h"
#include "cli/command.h"

namespace halftone {
namespace {

class GenerateCommand : public Command {
 public:
  CLI::App* add_to(CLI::App& program) override {
    CLI::App* command = program.add_subcommand("generate", "Write on after a prompt");
    add_model(*command, model_);
    take_once(command->add_option("--prompt,-p", prompt_, "Text to go on from"))
        ->type_name("TEXT")
        ->required();
    take_whole_number(command->add_option("-n,--max-tokens", options_.tokens, "Tokens at most"), 1)
        ->capture_default_str();
    take_number(command->add_option("--temperature", options_.sampler.temperature,
                                    "0: always the likeliest token"),
                0, 100)
        ->capture_default_str();
    take_whole_number(command->add_option("--seed", options_.sampler.seed, "Of the sampling"), 0)
        ->capture_default_str();
    add_dtype(*command, options_.dtype);
    add_device_options(*command, device_);
    add_example(*command, "halftone generate demo-4bit --prompt \"The sky is blue because\"");
    return command;
  }

  int run(const Globals& globals) override {
    options_.quiet = globals.quiet();
    const auto backend = open_device(device_);
    const OpenedModel model = open_model(model_);
    warn_of_wrong_label(model);
    const Generation result =
        generate(*backend, model, prompt_, options_, [](const std::string& text) {
          fmt::print("{}", text);
          if (std::fflush(stdout) != 0)
            throw out_of_resources("standard output cannot be written: {}", std::strerror(errno));
        });
    fmt::print("\n");
    std::fflush(stdout);  // before what goes to stderr
    spdlog::info("{} in {} after a prompt of {} in {}", count_text(result.tokens, "token"),
                 human_seconds(result.seconds), result.prompt_tokens,
                 human_seconds(result.prompt_seconds));
    if (result.tokens == 0)
      spdlog::warn(
          "the model ended at once: a prompt is a text to go on from, so leave it unfinished");
    return static_cast<int>(Exit::done);
  }

 private:
  std::string model_, prompt_;
  GenerateOptions options_;
  DeviceOptions device_;
};

}  // namespace

std::unique_ptr<Command> make_generate_command() { return std::make_unique<GenerateCommand>(); }

}  // namespace halftone
