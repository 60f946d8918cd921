// halftone quantize: a model in, a 4-bit model and the measure of its loss out.
#include <fmt/core.h>

#include <cmath>

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
    command->add_option("model,--model", model_, "Directory, .gguf file or org/name")->required();
    add_result_options(*command);
    add_method_options(*command);
    add_calibration_options(*command);
    add_run_options(*command);
    add_example(*command,
                "halftone quantize Qwen2.5-7B-Instruct -o qwen-7b-4bit --calib chats.jsonl");
    return command;
  }

  int run(const Globals& globals) override {
    options_.quiet = globals.quiet();
    options_.device = device_.device;
    options_.samples_given = samples_->count() > 0;
    options_.symmetric = !asymmetric_ && (sym_->count() == 0 || symmetric_);
    if (desc_act_->count()) options_.order = desc_act_value_ ? "act" : "none";
    if (mse_->count()) options_.scale_search = mse_value_ > 0 ? "power" : "minmax";
    options_.program_version = version_text();
    const auto backend = make_backend(device_.device, {.threads = device_.threads});
    const OpenedModel model = open_model(model_);
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
    command.add_option("-o,--output", options_.output, "Directory to make")->required();
    command.add_option("--format", options_.format, "gptq")->capture_default_str();
    command.add_flag("--force", options_.force, "Replace OUT; drop a journal that is in the way");
    command.add_flag("--resume", options_.resume, "Go on where an interrupted run stopped");
    command.add_flag("--dry-run", dry_run_, "Plan, sizes, memory, disk and time; writes nothing");
    command.add_option("--report", report_, "Write an HTML report to this file");
    command.add_option("--profile", profile_, "Write where the time went to this file (JSON)");
    command.add_flag("--json", json_, "The result as JSON");
  }

  void add_method_options(CLI::App& command) {
    command.add_option("--method", options_.method, "gptq or rtn")->capture_default_str();
    command.add_option("--recipe", options_.recipe, "fast")->capture_default_str();
    command.add_option("--bits,-b", options_.bits, "2, 3, 4 or 8")
        ->check(CLI::IsMember({2, 3, 4, 8}))
        ->capture_default_str();
    command
        .add_option("--group-size,-g", options_.group_size, "Inputs that share a scale; -1: all")
        ->check(CLI::IsMember(std::vector<int64_t>{-1}) | CLI::Range(int64_t{1}, int64_t{1} << 20))
        ->capture_default_str();
    sym_ = command.add_flag("--sym", symmetric_, "Zero in the middle of the grid (default)");
    command.add_flag("--asym", asymmetric_, "A zero of its own for each group")->excludes(sym_);
    command
        .add_option("--skip", options_.skip,
                    "Leave linears dense whose name holds this regex; repeatable")
        ->allow_extra_args(false)
        ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
    command
        .add_option("--damp,--damp-percent", options_.damping,
                    "Damping, of the mean of H's diagonal")
        ->check(number_between(0, 1))
        ->capture_default_str();
    CLI::Option* order =
        command.add_option("--order", options_.order, "act or none (default: the recipe's)")
            ->check(CLI::IsMember({"act", "none"}));
    desc_act_ = command.add_option("--desc-act", desc_act_value_, "true: --order act; false: none")
                    ->excludes(order);
    CLI::Option* search = command
                              .add_option("--scale-search", options_.scale_search,
                                          "power or minmax (default: the recipe's)")
                              ->check(CLI::IsMember({"power", "minmax"}));
    mse_ = command.add_option("--mse", mse_value_, "2.4: --scale-search power; 0: minmax")
               ->check(CLI::IsMember({0.0, 2.4}))
               ->excludes(search);
  }

  void add_calibration_options(CLI::App& command) {
    command
        .add_option("--calib,--calibration", options_.calibration,
                    "Text, or JSON lines with \"text\"; repeatable (default: the fetched text)")
        ->allow_extra_args(false)
        ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
    samples_ =
        command.add_option("--samples,--nsamples", options_.samples, "Windows to calibrate on")
            ->check(whole_number(1))
            ->capture_default_str();
    command.add_option("--seq-len,--seqlen", options_.seq_len, "Tokens a window")
        ->check(whole_number(16))
        ->capture_default_str();
    command.add_option("--seed", options_.seed, "Of the choice of windows")
        ->check(whole_number(0))
        ->capture_default_str();
  }

  void add_run_options(CLI::App& command) {
    command.add_option("--dtype", options_.dtype, "auto, f32 or bf16")
        ->check(CLI::IsMember({"auto", "f32", "bf16"}))
        ->capture_default_str();
    add_size_option(command, "--max-memory", options_.max_memory, "Stay below this, e.g. 1.5G");
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
  CLI::Option *samples_ = nullptr, *sym_ = nullptr, *desc_act_ = nullptr, *mse_ = nullptr;
};

}  // namespace

std::unique_ptr<Command> make_quantize_command() { return std::make_unique<QuantizeCommand>(); }

}  // namespace halftone
