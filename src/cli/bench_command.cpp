// halftone bench quantize: what a job will cost, stage by stage, before it is begun.
#include <fmt/core.h>

#include "apps/bench_quantize.h"
#include "base/error.h"
#include "cli/command.h"
#include "cli/version.h"

namespace halftone {
namespace {

class BenchCommand : public Command {
 public:
  CLI::App* add_to(CLI::App& program) override {
    CLI::App* command =
        program.add_subcommand("bench", "What a job costs on this machine, and its limits");
    command->require_subcommand(1);
    add_quantize(*command);
    add_example(*command, "halftone bench quantize --shape qwen2.5-7b");
    return command;
  }

  int run(const Globals& globals) override {
    QuantizeOptions& quantize = options_.quantize;
    quantize.quiet = globals.quiet();
    quantize.device = device_.device;
    quantize.samples_given = true;
    quantize.symmetric = !asymmetric_;
    quantize.program_version = version_text();
    const auto backend = open_device(device_);
    const BenchQuantizeResult result = bench_quantize(*backend, options_);
    fmt::print("{}", json_ ? to_json(result).dump(2) + "\n" : bench_table(result));
    return static_cast<int>(Exit::done);
  }

 private:
  void add_quantize(CLI::App& bench) {
    CLI::App* command = bench.add_subcommand(
        "quantize", "The real pipeline on some layers of a shape: seconds, rates, memory");
    command->fallthrough();
    command->configurable();
    command
        ->add_option("--shape", options_.shape,
                     "Name such as qwq-32b, or a model whose shape it is")
        ->type_name("NAME|MODEL")
        ->required();
    take_whole_number(
        command->add_option("--layers", options_.layers, "To run (default: 4); the rest is told"),
        1);
    add_job_options(*command);
    take_whole_number(
        command->add_option("--samples", options_.quantize.samples, "Sequences to calibrate on"), 1)
        ->capture_default_str();
    take_whole_number(
        command->add_option("--seq-len", options_.quantize.seq_len, "Tokens of each, or at most"),
        16)
        ->capture_default_str();
    add_sequences_option(*command, options_.quantize);
    command
        ->add_option("--workdir", options_.workdir,
                     "Where model and output lie meanwhile (default: in memory, where it has room)")
        ->type_name("DIR");
    add_dtype(*command, options_.quantize.dtype);
    add_memory_option(*command, options_.quantize);
    add_device_options(*command, device_);
    command->add_flag("--json", json_, "The same facts as JSON");
    add_example(*command, "halftone bench quantize --shape qwq-32b --layers 8");
    add_example(*command,
                "halftone bench quantize --shape qwen2.5-7b --format gguf --gguf-type Q4_K_M");
    add_example(*command,
                "halftone bench quantize --shape qwq-32b --sequences whole --seq-len 8192");
  }

  void add_job_options(CLI::App& command) {
    QuantizeOptions& quantize = options_.quantize;
    add_format_option(command, quantize);
    CLI::Option* gguf_type = add_gguf_options(command, quantize.gguf);
    add_method_options(command, quantize, gguf_type);
    command.add_flag("--asym", asymmetric_, "A zero of its own for each group")
        ->excludes(gguf_type);
    add_step_options(command, quantize);
  }

  BenchQuantizeOptions options_;
  DeviceOptions device_;
  bool asymmetric_ = false, json_ = false;
};

}  // namespace

std::unique_ptr<Command> make_bench_command() { return std::make_unique<BenchCommand>(); }

}  // namespace halftone
