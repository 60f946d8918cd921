// halftone convert: any model to dense safetensors, a quantized one to another packed format.
#include <fmt/core.h>

#include "apps/convert.h"
#include "base/error.h"
#include "base/file.h"
#include "base/progress.h"
#include "cli/command.h"

namespace halftone {
namespace {

std::string matrices(int64_t count) {
  return fmt::format("{} matri{}", count, count == 1 ? "x" : "ces");
}

class ConvertCommand : public Command {
 public:
  CLI::App* add_to(CLI::App& program) override {
    CLI::App* command = program.add_subcommand(
        "convert", "To dense safetensors, or to another format with the same codes");
    add_model(*command, model_);
    take_once(command->add_option("-o,--output", options_.output, "Directory to make"))
        ->type_name("DIR")
        ->required();
    std::vector<std::string> names = {"safetensors"};
    for (const Format& format : formats()) names.emplace_back(format.name);
    take_one_of(
        command->add_option(
            "--format", options_.format,
            "What to write; safetensors: dense, gguf: either, the others: the codes as they are"),
        names)
        ->capture_default_str();
    take_one_of(command->add_option("--dtype", options_.dtype,
                                    "Of dense tensors; auto: as stored, bf16 from a GGUF"),
                {"auto", "bf16", "f16", "f32"})
        ->capture_default_str();
    add_gguf_options(*command, options_.gguf);
    command->add_flag("--requantize", options_.requantize,
                      "Round again what the format cannot hold as it is");
    add_size_option(*command, "--max-shard-size", options_.max_shard_bytes,
                    "Largest weight file, e.g. 2G (default: 4G; a GGUF is one)");
    command->add_flag("--force", options_.force, "Replace OUT");
    add_example(*command,
                "halftone convert model.gguf -o model-bf16 --dtype bf16\n"
                "  halftone convert model-gptq -o model-mlx --format mlx\n"
                "  halftone convert model -o model-gguf --format gguf --gguf-type Q4_K_M");
    return command;
  }

  int run(const Globals&) override {
    options_.output = directory_name(options_.output);
    const OpenedModel model = open_model(model_);
    const ConvertOutcome outcome = convert(model, options_);
    fmt::print("Wrote {}  {}\n", options_.output, human_bytes(outcome.bytes));
    if (outcome.repacked > 0)
      fmt::print("{} with the codes, scales and zeros that {} had\n", matrices(outcome.repacked),
                 outcome.repacked == 1 ? "it" : "they");
    if (outcome.rounded > 0) fmt::print("{} rounded to nearest\n", matrices(outcome.rounded));
    for (const std::string& note : outcome.notes) fmt::print("{}\n", note);
    if (outcome.requantized > 0) fmt::print("{} rounded again\n", matrices(outcome.requantized));
    for (const ReaderVerdict& reader : outcome.readers)
      fmt::print("{:<13} {}{}\n", reader.reader, reader.opens ? "opens" : "refuses",
                 reader.why.empty() ? "" : ": " + reader.why);
    return static_cast<int>(Exit::done);
  }

 private:
  std::string model_;
  ConvertOptions options_;
};

}  // namespace

std::unique_ptr<Command> make_convert_command() { return std::make_unique<ConvertCommand>(); }

}  // namespace halftone
