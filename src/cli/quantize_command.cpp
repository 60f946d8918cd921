// halftone quantize: a model in, a 4-bit model and the measure of its loss out.
#include <fmt/core.h>

#include <cmath>

#include "apps/calibration.h"
#include "apps/estimate.h"
#include "apps/quantize.h"
#include "apps/quantize_report.h"
#include "base/error.h"
#include "base/file.h"
#include "base/progress.h"
#include "cli/command.h"
#include "cli/version.h"

namespace halftone {
namespace {

class QuantizeCommand : public Command {
 public:
  CLI::App* add_to(CLI::App& program) override {
    CLI::App* command = program.add_subcommand(
        "quantize", "Calibrate, quantize, pack, write, verify: a 4-bit model and what it lost");
    add_model(*command, model_, "MODEL,--model");
    add_result_options(*command);
    add_solver_options(*command);
    add_calibration_options(*command);
    add_run_options(*command);
    add_example(*command,
                "halftone quantize Qwen/Qwen2.5-7B-Instruct -o qwen-7b-4bit --calib chats.jsonl");
    return command;
  }

  int run(const Globals& globals) override {
    options_.quiet = globals.quiet();
    options_.offers_resume = true;
    options_.device = device_.device;
    options_.samples_given = samples_->count() > 0;
    options_.symmetric = !asymmetric_ && (sym_->count() == 0 || symmetric_);
    if (desc_act_->count()) options_.order = desc_act_value_ ? "act" : "none";
    if (mse_->count()) options_.scale_search = mse_value_ > 0 ? "power" : "minmax";
    options_.program_version = version_text();
    const auto backend = open_device(device_);
    settle(options_, *backend);
    const OpenedModel model = open_model(model_, options_.lm_head);
    if (dry_run_) return dry(*backend, model);
    for (const std::string& path : {report_, profile_})
      if (!path.empty()) check_writable(path);

    Profile profile;
    const QuantizeOutcome outcome =
        quantize(*backend, model, options_, profile_.empty() ? nullptr : &profile);
    if (!profile_.empty()) write_profile(*backend, outcome, profile, profile_);
    if (!report_.empty()) write_quantize_report(*backend, model, outcome, options_, report_);
    if (json_)
      fmt::print("{}\n", to_json(outcome).dump(2));
    else
      fmt::print("{}", outcome_text(outcome, options_, model));
    return static_cast<int>(Exit::done);
  }

 private:
  void add_result_options(CLI::App& command) {
    take_once(command.add_option("-o,--output", options_.output, "Directory to make"))
        ->type_name("DIR")
        ->required();
    add_format_option(command, options_);
    gguf_type_ = add_gguf_options(command, options_.gguf);
    add_size_option(command, "--max-shard-size", options_.max_shard_bytes,
                    "Largest weight file, e.g. 2G (default: 4G; a GGUF is one)");
    command.add_flag("--force", options_.force, "Replace OUT; drop a journal that is in the way");
    command.add_flag("--resume", options_.resume, "Go on where an interrupted run stopped");
    command.add_flag("--dry-run", dry_run_, "Plan, sizes, memory, disk and time; writes nothing");
    command.add_option("--report", report_, "Write an HTML report to this file")
        ->type_name("FILE.html");
    command.add_option("--profile", profile_, "Write where the time went to this file (JSON)")
        ->type_name("FILE");
    command.add_flag("--json", json_, "The result as JSON");
  }

  void add_solver_options(CLI::App& command) {
    add_method_options(command, options_, gguf_type_);
    command.add_flag("--scales-only", options_.scales_only,
                     "Write the dense model that the method's transform makes");
    sym_ = command.add_flag("--sym", symmetric_, "Zero in the middle of the grid (default)");
    sym_->excludes(gguf_type_);
    command.add_flag("--asym", asymmetric_, "A zero of its own for each group")
        ->excludes(sym_)
        ->excludes(gguf_type_);
    command
        .add_option("--dynamic", options_.dynamic,
                    "Grids of single modules, as GPTQModel's: JSON, or a file of it; repeatable")
        ->type_name("RULES")
        ->allow_extra_args(false)
        ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
    add_step_options(command, options_);
    desc_act_ = take_truth(command.add_option("--desc-act", desc_act_value_,
                                              "true: --order act; false: --order none"))
                    ->excludes(command.get_option("--order"));
    mse_ = take_number_of(command.add_option("--mse", mse_value_,
                                             "2.4: --scale-search power; 0: --scale-search minmax"),
                          {0, 2.4})
               ->excludes(command.get_option("--scale-search"));
  }

  void add_calibration_options(CLI::App& command) {
    command
        .add_option("--calib,--calibration", options_.calibration,
                    "Text, or JSON lines of texts or chats; repeatable (default: the fetched text)")
        ->type_name("FILE")
        ->allow_extra_args(false)
        ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
    samples_ = take_whole_number(command.add_option("--samples,--nsamples", options_.samples,
                                                    "Windows or documents to calibrate on"),
                                 1)
                   ->capture_default_str();
    take_whole_number(command.add_option("--seq-len,--seqlen", options_.seq_len,
                                         "Tokens a window, or the most of a whole document"),
                      16)
        ->capture_default_str();
    add_sequences_option(command, options_);
    take_whole_number(command.add_option("--seed", options_.seed, "Of the choice of windows"), 0)
        ->capture_default_str();
  }

  void add_run_options(CLI::App& command) {
    add_dtype(command, options_.dtype);
    add_memory_option(command, options_);
    add_device_options(command, device_);
  }

  int dry(Backend& backend, const OpenedModel& model) {
    Json json;
    const std::string text = dry_run(backend, model, options_, &json);
    fmt::print("{}", json_ ? json.dump(2) + "\n" : text);
    return static_cast<int>(Exit::done);
  }

  std::string model_, report_, profile_;
  bool dry_run_ = false, json_ = false;
  QuantizeOptions options_;
  DeviceOptions device_;
  bool desc_act_value_ = true;
  double mse_value_ = 0;
  bool symmetric_ = false, asymmetric_ = false;
  CLI::Option *gguf_type_ = nullptr, *samples_ = nullptr, *sym_ = nullptr, *desc_act_ = nullptr,
              *mse_ = nullptr;
};

}  // namespace

std::unique_ptr<Command> make_quantize_command() { return std::make_unique<QuantizeCommand>(); }

}  // namespace halftone
