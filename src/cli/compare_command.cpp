// halftone compare: methods, widths and calibrations of one model in one table.
#include <fmt/core.h>

#include "apps/compare.h"
#include "base/error.h"
#include "base/file.h"
#include "cli/command.h"
#include "cli/version.h"

namespace halftone {
namespace {

class CompareCommand : public Command {
 public:
  CLI::App* add_to(CLI::App& program) override {
    CLI::App* command = program.add_subcommand(
        "compare", "What methods, widths and calibration texts cost a model: one table");
    add_model(*command, model_);
    take_once(command->add_option("--text", options_.text, "Text to measure on"))
        ->type_name("FILE")
        ->required();
    add_cells(*command);
    take_one_of(command->add_option("--protocol", protocol_, "As eval has it"), {"hf", "llama.cpp"})
        ->capture_default_str();
    take_whole_number(command->add_option("--windows,--chunks", options_.evaluate.windows,
                                          "Measure on the first N windows"),
                      1);
    take_whole_number(command->add_option("--seq-len,--seqlen", options_.quantize.seq_len,
                                          "Tokens of a calibration window, or at most"),
                      16)
        ->capture_default_str();
    add_sequences_option(*command, options_.quantize);
    take_whole_number(
        command->add_option("--seed", options_.quantize.seed, "Of the choice of windows"), 0)
        ->capture_default_str();
    add_format_option(*command, options_.quantize);
    add_gguf_table_options(*command, options_.quantize.gguf);
    add_step_options(*command, options_.quantize);
    command
        ->add_option("-o,--output", options_.directory,
                     "Keep the models here, and go on from those that are there")
        ->type_name("DIR");
    command->add_option("--report", report_, "Write an HTML report with plots")
        ->type_name("FILE.html");
    command->add_flag("--json", json_, "The same facts as JSON");
    add_dtype(*command, options_.quantize.dtype);
    add_memory_option(*command, options_.quantize);
    add_device_options(*command, device_);
    add_example(*command,
                "halftone compare Qwen/Qwen2.5-7B-Instruct --methods rtn,gptq --bits 3,4 "
                "--text test.txt");
    return command;
  }

  int run(const Globals& globals) override {
    QuantizeOptions& quantize = options_.quantize;
    quantize.quiet = options_.evaluate.quiet = globals.quiet();
    quantize.device = device_.device;
    quantize.samples_given = samples_->count() > 0;
    quantize.symmetric = !asymmetric_;
    quantize.program_version = version_text();
    options_.evaluate.dtype = quantize.dtype;
    options_.evaluate.protocol = protocol_ == "hf" ? Protocol::hf : Protocol::llama_cpp;
    if (!options_.directory.empty()) options_.directory = directory_name(options_.directory);
    if (!report_.empty()) check_writable(report_);
    const auto backend = open_device(device_);
    const OpenedModel model = open_model(model_, quantize.lm_head);
    const Comparison comparison = compare(*backend, model, options_);
    if (!report_.empty()) write_compare_report(*backend, model, options_, comparison, report_);
    fmt::print("{}", json_ ? to_json(comparison).dump(2) + "\n" : compare_table(comparison));
    return static_cast<int>(Exit::done);
  }

 private:
  static CLI::Option* take_list(CLI::Option* option) {
    return option->delimiter(',')->allow_extra_args(false)->multi_option_policy(
        CLI::MultiOptionPolicy::TakeAll);
  }

  void add_cells(CLI::App& command) {
    take_one_of(take_list(command.add_option("--methods,--method", options_.methods, "Solvers")),
                names_of(methods()))
        ->capture_default_str();
    CLI::Option* types = take_gguf_mix(take_list(
        command.add_option("--gguf-type", options_.gguf_types, "Of --format gguf, a cell each")));
    take_number_of(take_list(command.add_option("--bits,-b", options_.bits, "Widths of a code")),
                   {2, 3, 4, 5, 6, 8})
        ->capture_default_str()
        ->excludes(types);
    take_whole_number(take_list(command.add_option("--group-size,-g", options_.group_sizes,
                                                   "Inputs that share a scale; -1: all")),
                      1, int64_t{1} << 20, -1)
        ->capture_default_str()
        ->excludes(types);
    command.add_flag("--asym", asymmetric_, "A zero of its own for each group")->excludes(types);
    command
        .add_option("--calib,--calibration", options_.calibration,
                    "Text to calibrate on; several: each alone (default: the fetched text)")
        ->type_name("FILE")
        ->allow_extra_args(false)
        ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
    samples_ =
        take_whole_number(take_list(command.add_option("--samples,--nsamples", options_.samples,
                                                       "Windows to calibrate on")),
                          1)
            ->capture_default_str();
    command
        .add_option("--dynamic", options_.dynamic,
                    "Rules for single modules: cells beside those without; repeatable")
        ->type_name("RULES")
        ->allow_extra_args(false)
        ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  }

  std::string model_, report_, protocol_ = "hf";
  CompareOptions options_;
  DeviceOptions device_;
  bool json_ = false, asymmetric_ = false;
  CLI::Option* samples_ = nullptr;
};

}  // namespace

std::unique_ptr<Command> make_compare_command() { return std::make_unique<CompareCommand>(); }

}  // namespace halftone
