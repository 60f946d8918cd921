// Quantize twice, measure twice, let all three write, and put it into one page.
#include "apps/demo.h"

#include <fmt/core.h>

#include <cstdio>
#include <filesystem>

#include "apps/calibration.h"
#include "apps/generate.h"
#include "apps/quantize_report.h"
#include "base/error.h"
#include "base/file.h"
#include "base/progress.h"
#include "io/find_model.h"

namespace halftone {
namespace {

namespace fs = std::filesystem;

constexpr const char* kPrompt = "The printing press changed Europe because";
constexpr int64_t kAnswerTokens = 40;

struct Contender {
  std::string label;
  Evaluation evaluation;
  std::string answer;
};

std::string need(const std::string& given, const std::string& fetched, const char* what) {
  const std::string path = given.empty() ? fetched : given;
  if (!path.empty() && fs::exists(path)) return path;
  throw usage_error("demo: no {}: {} is not there", what, path.empty() ? "it" : path)
      .hint("run scripts/fetch.sh smollm2 texts, or make demo, which does.");
}

// The first model that the fetch script got.
std::string fetched_model() {
  const fs::path models = fs::path(fetch_cache()) / "models";
  if (!fs::exists(models)) return models.string();
  std::vector<std::string> found;
  for (const fs::directory_entry& entry : fs::directory_iterator(models))
    if (entry.path().extension() == ".gguf" &&
        entry.path().filename().string().find("SmolLM2") != std::string::npos)
      found.push_back(entry.path().string());
  std::sort(found.begin(), found.end());
  return found.empty() ? models.string() + "/SmolLM2-135M-Instruct.Q4_1.gguf" : found.front();
}

void say(const std::string& step) {
  fmt::print("{}\n", step);
  std::fflush(stdout);
}

// The largest group of the usual sizes that divides every linear's inputs.
int64_t fitting_group(const OpenedModel& model) {
  for (const int64_t group : {128, 64, 32, 16}) {
    bool fits = true;
    for (const TensorKey& key : model.tensors->keys())
      if (is_linear(key.role) && key.part == Part::weight)
        fits = fits && model.tensors->shape(key).second % group == 0;
    if (fits) return group;
  }
  return -1;
}

QuantizeOptions quantize_options(const DemoOptions& demo, const OpenedModel& model,
                                 const std::string& method, const std::string& output,
                                 const std::string& calibration) {
  QuantizeOptions options;
  options.output = output;
  options.method = method;
  options.group_size = fitting_group(model);
  options.calibration = {calibration};
  options.samples = demo.samples;
  options.samples_given = true;
  options.seq_len = demo.seq_len;
  options.force = true;
  options.quiet = demo.quiet;
  options.program_version = demo.program_version;
  // Round-to-nearest as everybody knows it: the range of each group, no search.
  if (method == "rtn") options.scale_search = "minmax";
  return options;
}

std::string first_words(Backend& backend, const OpenedModel& model) {
  GenerateOptions options;
  options.tokens = kAnswerTokens;
  std::string text = generate(backend, model, kPrompt, options, {}).text;
  for (char& c : text)
    if (c == '\n') c = ' ';
  return text;
}

std::string cell(double value, double error, int digits) {
  return fmt::format("{:.{}f} ± {:.{}f}", value, digits, error, digits);
}

std::string table(const Evaluation& base, const std::vector<Contender>& contenders) {
  std::string text = fmt::format("{:<18}{:>11}{:>12}{:>18}{:>19}{:>10}\n", "", "size",
                                 "bits/weight", "perplexity", "KL divergence", "same top");
  text += fmt::format("{:<18}{:>11}{:>12.3f}{:>18}{:>19}{:>10}\n", "original",
                      human_bytes(base.size_bytes), base.bits_per_weight_linears,
                      cell(base.perplexity, base.perplexity_stderr, 3), "", "");
  for (const Contender& one : contenders) {
    const Evaluation& e = one.evaluation;
    text += fmt::format("{:<18}{:>11}{:>12.3f}{:>18}{:>19}{:>9.1f}%\n", one.label,
                        human_bytes(e.size_bytes), e.bits_per_weight_linears,
                        cell(e.perplexity, e.perplexity_stderr, 3),
                        cell(*e.kl_mean, *e.kl_stderr, 4), 100 * *e.top1_agreement);
  }
  return text;
}

// What an evaluation of a model against another says of that other.
Evaluation base_of(const Evaluation& against) {
  Evaluation base;
  base.size_bytes = against.base_size_bytes;
  base.bits_per_weight_linears = against.base_bits_per_weight_linears;
  base.bits_per_weight_file = against.base_bits_per_weight_file;
  base.perplexity = *against.base_perplexity;
  base.perplexity_stderr = *against.base_perplexity_stderr;
  return base;
}

struct Story {
  std::string text_path;
  QuantizeOutcome outcome;  // of GPTQ
  QuantizeOptions options;
  std::vector<Contender> contenders;  // rtn, gptq
  std::string original_answer;
};

void write_page(const Backend& backend, const OpenedModel& original, const DemoOptions& demo,
                const Story& story) {
  ReportInput input = report_of(backend, original, story.outcome, story.options);
  const Evaluation base = base_of(story.contenders.back().evaluation);
  input.rows.push_back(report_row("original", base));
  input.rows.back().base = true;
  ReportSample sample{kPrompt, {{"original", story.original_answer}}};
  for (const Contender& one : story.contenders) {
    input.rows.push_back(report_row(one.label, one.evaluation));
    sample.answers.emplace_back(one.label, one.answer);
  }
  input.samples = {sample};
  const Evaluation& e = story.contenders.back().evaluation;
  input.measured_on = fmt::format(
      "{} protocol: {} windows of {} of {}, {} tokens scored", e.protocol, e.windows,
      human_count(e.seq_len), fs::path(story.text_path).filename().string(), human_count(e.tokens));
  input.commands.push_back(
      {"the comparison",
       fmt::format("halftone eval {} --against {} --text {} --windows {} --seq-len {}", demo.output,
                   original.checkpoint->path(), story.text_path, demo.windows, demo.seq_len)});
  write_file_atomically(demo.report, render_report(input));
}

}  // namespace

void run_demo(Backend& backend, const DemoOptions& demo) {
  const std::string model_path = need(demo.model, fetched_model(), "model");
  const std::string calibration =
      need(demo.calibration, fetched_text("calibration.txt"), "calibration text");
  Story story;
  story.text_path = need(demo.text, fetched_text("evaluation.txt"), "evaluation text");
  const OpenedModel original = open_model(model_path);
  say(fmt::format("Original    {}: {}", original.name(), plan_subtitle(original)));
  say(fmt::format("Machine     {}", backend.info().device));

  const std::pair<const char*, std::string> runs[] = {{"rtn", demo.output + "-rtn"},
                                                      {"gptq", demo.output}};
  for (const auto& [method, output] : runs) {
    say(fmt::format("\nQuantizing  by {} to {}", method, output));
    story.options = quantize_options(demo, original, method, output, calibration);
    story.outcome = quantize(backend, original, story.options);
    say(outcome_text(story.outcome, story.options, original));
    const OpenedModel quantized = open_model(output);
    Contender one{.label = std::string(method) == "rtn" ? "round to nearest" : "GPTQ"};
    say(fmt::format("Measuring   {} against the original on {} windows of {}", output, demo.windows,
                    story.text_path));
    one.evaluation =
        evaluate(backend, quantized, &original, story.text_path,
                 {.seq_len = demo.seq_len, .windows = demo.windows, .quiet = demo.quiet});
    one.answer = first_words(backend, quantized);
    story.contenders.push_back(std::move(one));
  }
  story.original_answer = first_words(backend, original);
  write_page(backend, original, demo, story);

  say("\n" + table(base_of(story.contenders.back().evaluation), story.contenders));
  say(fmt::format("{}…", kPrompt));
  say(fmt::format("  original          {}", story.original_answer));
  for (const Contender& one : story.contenders)
    say(fmt::format("  {:<16}  {}", one.label, one.answer));
  say(
      fmt::format("\nReport   {}      Model   {}/\nTry      halftone generate {} --prompt \"Why is "
                  "the sky blue?\"\n"
                  "         halftone quantize YOUR-MODEL -o OUT --calib YOUR-TEXT",
                  demo.report, demo.output, demo.output));
}

}  // namespace halftone
