// halftone doctor: what this machine can do; what is wrong with a model and who opens it.
#include <fmt/core.h>

#include "apps/doctor_machine.h"
#include "apps/doctor_model.h"
#include "apps/doctor_repair.h"
#include "base/error.h"
#include "base/file.h"
#include "base/shell_quote.h"
#include "cli/command.h"

namespace halftone {
namespace {

class DoctorCommand : public Command {
 public:
  CLI::App* add_to(CLI::App& program) override {
    CLI::App* command = program.add_subcommand(
        "doctor", "What this machine can do; what is wrong with a model, and who opens it");
    add_model(*command, model_);
    CLI::Option* model = command->get_option("MODEL")->required(false);
    CLI::Option* output =
        take_once(command->add_option("-o,--output", output_, "Directory to make, with --fix"))
            ->type_name("DIR");
    CLI::Option* fix = command->add_flag(
        "--fix", fix_, "Copy the model and set right what its label says of GPTQ's zero points");
    fix->needs(output)->needs(model);
    output->needs(fix);
    command->add_flag("--force", force_, "Replace OUT");
    take_whole_number(command->add_option("--threads", options_.threads, "0: all there are"), 0,
                      4096)
        ->capture_default_str();
    command->add_flag("--json", json_, "The same facts as JSON");
    add_example(*command,
                "halftone doctor\n"
                "  halftone doctor some-model-gptq\n"
                "  halftone doctor some-model-gptq --fix -o repaired");
    return command;
  }

  int run(const Globals& globals) override {
    if (model_.empty()) {
      const MachineFacts facts = examine_machine();
      fmt::print("{}", json_ ? machine_json(facts).dump(2) + "\n" : machine_text(facts));
      return static_cast<int>(Exit::done);
    }
    options_.quiet = globals.quiet();
    const ModelDiagnosis diagnosis = diagnose_model(model_, options_);
    if (fix_) return fix(diagnosis);
    fmt::print("{}", json_ ? diagnosis_json(diagnosis).dump(2) + "\n" : diagnosis_text(diagnosis));
    return static_cast<int>(diagnosis.healthy() ? Exit::done : Exit::bad_input);
  }

 private:
  int fix(const ModelDiagnosis& diagnosis) const {
    if (!diagnosis.relabel) {
      fmt::print("{}", diagnosis_text(diagnosis));
      if (diagnosis.healthy()) return static_cast<int>(Exit::done);
      throw bad_input("{}: what is broken is no label: nothing was written", diagnosis.name);
    }
    const std::string output = directory_name(output_);
    repair_label(diagnosis, output, force_);
    fmt::print("Wrote {}: labelled {}, every other byte as it was\nNext: halftone doctor {}\n",
               output, name_of(*diagnosis.relabel), shell_quoted(output));
    return static_cast<int>(Exit::done);
  }

  std::string model_, output_;
  DoctorOptions options_;
  bool fix_ = false, force_ = false, json_ = false;
};

}  // namespace

std::unique_ptr<Command> make_doctor_command() { return std::make_unique<DoctorCommand>(); }

}  // namespace halftone
