// halftone eval: perplexity, and KL divergence against a base model.
#include <cstdio>

#include "apps/evaluate.h"
#include "apps/label_check.h"
#include "base/error.h"
#include "base/log.h"
#include "cli/command.h"

namespace halftone {
namespace {

class EvalCommand : public Command {
 public:
  CLI::App* add_to(CLI::App& program) override {
    CLI::App* command = program.add_subcommand(
        "eval", "Perplexity ± error; against a base model KL divergence, agreement, size, speed");
    add_model(*command, model_);
    take_once(command->add_option("--text", text_, "Plain text, or JSON lines of texts or chats"))
        ->type_name("FILE")
        ->required();
    take_one_of(command->add_option("--protocol", protocol_,
                                    "hf: windows of 2,048, all scored; llama.cpp: 512, half"),
                {"hf", "llama.cpp"})
        ->capture_default_str();
    take_whole_number(command->add_option("--seq-len,--ctx-size", options_.seq_len,
                                          "Tokens a window (default: the protocol's)"),
                      1);
    take_whole_number(
        command->add_option("--windows,--chunks", options_.windows, "Only the first N windows"), 1);
    take_once(command->add_option("--against", base_, "The model that it was made from"))
        ->type_name("BASE");
    gate_ = take_number(command->add_option("--max-ppl-increase", max_increase_,
                                            "Exit with 6 when perplexity rose by more percent"),
                        -100, 1e9)
                ->needs(command->get_option("--against"));
    add_dtype(*command, options_.dtype);
    command->add_flag("--json", json_, "The same facts as JSON");
    add_device_options(*command, device_);
    add_example(*command,
                "halftone eval qwen-4bit --against Qwen/Qwen2.5-7B-Instruct --text test.txt");
    return command;
  }

  int run(const Globals& globals) override {
    options_.protocol = protocol_ == "hf" ? Protocol::hf : Protocol::llama_cpp;
    options_.quiet = globals.quiet();
    const auto backend = open_device(device_);
    const OpenedModel model = open_model(model_);
    std::optional<OpenedModel> base;
    if (!base_.empty()) base = open_model(base_);
    warn_of_wrong_label(model);
    if (base) warn_of_wrong_label(*base);
    const Evaluation result = evaluate(*backend, model, base ? &*base : nullptr, text_, options_);
    if (json_) {
      for (const std::string& note : result.notes) spdlog::warn("{}", note);
      fmt::print("{}\n", to_json(result).dump(2));
    } else {
      fmt::print("{}", evaluation_table(result, backend->info().device));
    }
    return check_gate(result);
  }

 private:
  int check_gate(const Evaluation& result) const {
    if (gate_->count() == 0) return static_cast<int>(Exit::done);
    const double increase = 100 * (result.perplexity / *result.base_perplexity - 1);
    if (increase <= max_increase_) return static_cast<int>(Exit::done);
    throw Error(Exit::gate,
                fmt::format("perplexity rose by {:.2f} %, more than --max-ppl-increase {:.2f}",
                            increase, max_increase_));
  }

  std::string model_, base_, text_, protocol_ = "hf";
  EvaluateOptions options_;
  DeviceOptions device_;
  double max_increase_ = 0;
  CLI::Option* gate_ = nullptr;
  bool json_ = false;
};

}  // namespace

std::unique_ptr<Command> make_eval_command() { return std::make_unique<EvalCommand>(); }

}  // namespace halftone
