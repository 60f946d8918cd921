// halftone demo: quantize a small real model twice and compare.
#include "apps/demo.h"
#include "base/error.h"
#include "base/file.h"
#include "cli/command.h"
#include "cli/version.h"

namespace halftone {
namespace {

class DemoCommand : public Command {
 public:
  CLI::App* add_to(CLI::App& program) override {
    CLI::App* command = program.add_subcommand(
        "demo", "The whole story on a small real model, ending in a table and an HTML report");
    command->add_option("--model", options_.model, "Default: what scripts/fetch.sh got")
        ->type_name("MODEL");
    command->add_option("--calib,--calibration", options_.calibration, "Text to calibrate on")
        ->type_name("FILE");
    command->add_option("--text", options_.text, "Text to measure on")->type_name("FILE");
    command
        ->add_option("-o,--output", options_.output,
                     "Directory to make; beside it DIR-rtn and, of a 4-bit model, DIR-bf16")
        ->type_name("DIR")
        ->capture_default_str();
    command->add_option("--report", options_.report, "HTML file to write")
        ->type_name("FILE.html")
        ->capture_default_str();
    take_whole_number(
        command->add_option("--samples,--nsamples", options_.samples, "Windows to calibrate on"), 1)
        ->capture_default_str();
    take_whole_number(command->add_option("--windows", options_.windows, "Windows to measure on"),
                      1)
        ->capture_default_str();
    take_whole_number(
        command->add_option("--seq-len,--seqlen", options_.seq_len, "Tokens a window"), 16)
        ->capture_default_str();
    command->add_flag("--force", options_.force, "Replace directories that no demo made");
    add_device_options(*command, device_);
    add_example(*command, "halftone demo --model qwen2.5-coder-0.5b-instruct-q4_k_m.gguf");
    return command;
  }

  int run(const Globals& globals) override {
    options_.quiet = globals.quiet();
    options_.program = globals.program;
    options_.output = directory_name(options_.output);
    options_.program_version = version_text();
    const auto backend = open_device(device_);
    run_demo(*backend, options_);
    return static_cast<int>(Exit::done);
  }

 private:
  DemoOptions options_;
  DeviceOptions device_;
};

}  // namespace

std::unique_ptr<Command> make_demo_command() { return std::make_unique<DemoCommand>(); }

}  // namespace halftone
