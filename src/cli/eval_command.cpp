// halftone eval: perplexity, and KL divergence against a base model.
#include <cstdio>

#include "apps/evaluate.h"
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
    command->add_option("model", model_, "Directory, .gguf file or org/name")->required();
    command->add_option("--text", text_, "Plain text, or JSON lines with \"text\"")->required();
    command
        ->add_option("--protocol", protocol_,
                     "hf: windows of 2,048, all scored; llama.cpp: 512, half")
        ->check(CLI::IsMember({"hf", "llama.cpp"}))
        ->capture_default_str();
    command->add_option("--seq-len,--ctx-size", options_.seq_len, "Tokens a window (2048 or 512)")
        ->check(whole_number(1));
    command->add_option("--windows,--chunks", options_.windows, "Only the first N windows")
        ->check(whole_number(1));
    command->add_option("--against", base_, "The model that it was made from");
    gate_ = command
                ->add_option("--max-ppl-increase", max_increase_,
                             "Exit with 6 when perplexity rose by more percent")
                ->check(number_between(-100, 1e9))
                ->needs(command->get_option("--against"));
    command->add_option("--dtype", options_.dtype, "auto, f32 or bf16")
        ->check(CLI::IsMember({"auto", "f32", "bf16"}))
        ->capture_default_str();
    command->add_flag("--json", json_, "The same facts as JSON");
    add_device_options(*command, device_);
    add_example(*command, "halftone eval qwen-4bit --against Qwen2.5-7B-Instruct --text test.txt");
    return command;
  }

  int run(const Globals& globals) override {
    options_.protocol = protocol_ == "hf" ? Protocol::hf : Protocol::llama_cpp;
    options_.quiet = globals.quiet();
    const auto backend = make_backend(device_.device, {.threads = device_.threads});
    const OpenedModel model = open_model(model_);
    std::optional<OpenedModel> base;
    if (!base_.empty()) base = open_model(base_);
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
    spdlog::error("perplexity rose by {:.2f} %, more than --max-ppl-increase {:.2f}", increase,
                  max_increase_);
    return static_cast<int>(Exit::gate);
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
