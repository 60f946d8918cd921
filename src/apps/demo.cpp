// Quantize twice, measure twice, let the original and GPTQ write, and put it into one page.
#include "apps/demo.h"

#include <fmt/core.h>

#include <cstdio>
#include <filesystem>

#include "apps/calibration.h"
#include "apps/generate.h"
#include "apps/quantize_report.h"
#include "apps/regrid.h"
#include "base/count_text.h"
#include "base/error.h"
#include "base/file.h"
#include "base/log.h"
#include "base/progress.h"
#include "base/shell_quote.h"
#include "io/find_model.h"

namespace halftone {
namespace {

namespace fs = std::filesystem;

constexpr const char* kPrompt = "The sky is blue because";
constexpr int64_t kAnswerTokens = 48;
constexpr double kTemperature = 0.8;
constexpr size_t kColumns = 80;

struct Contender {
  std::string label;
  Evaluation evaluation;
};

struct Story {
  std::string calibration_path, text_path;
  QuantizeOutcome outcome;  // of GPTQ
  QuantizeOptions options;
  std::vector<Contender> contenders;                         // rtn, gptq
  std::vector<std::pair<std::string, std::string>> answers;  // of original and GPTQ
};

std::string need(const std::string& given, const std::string& fetched, const char* what) {
  const std::string path = given.empty() ? fetched : given;
  if (fs::exists(path)) return path;
  throw usage_error("{}: got {}, expected a file that is there", what, path)
      .hint("make demo fetches what is missing; so does scripts/fetch.sh smollm2 texts.");
}

// The first model that the fetch script got.
std::string fetched_model() {
  const fs::path models = fs::path(fetch_cache()) / "models";
  std::vector<std::string> found;
  std::error_code none;
  for (const fs::directory_entry& entry : fs::directory_iterator(models, none))
    if (entry.path().extension() == ".gguf" &&
        entry.path().filename().string().find("SmolLM2") != std::string::npos)
      found.push_back(entry.path().string());
  std::sort(found.begin(), found.end());
  return found.empty() ? models.string() + "/SmolLM2-135M-Instruct.Q4_1.gguf" : found.front();
}

void say(const DemoOptions& demo, const std::string& step) {
  if (!demo.quiet) fmt::print("{}\n", step);
}

void show(const std::string& step) {
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

// "demo-4bit" → "demo-bf16"
std::string name_of_original(std::string output) {
  constexpr std::string_view kSuffix = "-4bit";
  if (output.ends_with(kSuffix)) output.resize(output.size() - kSuffix.size());
  return output + "-bf16";
}

std::string output_of(const DemoOptions& demo, const std::string& method) {
  return method == "rtn" ? demo.output + "-rtn" : demo.output;
}

// A file in each directory that the demo makes: these alone it replaces unasked.
constexpr const char* kMark = ".halftone-demo";

void mark(const std::string& directory) {
  write_file_atomically(directory + "/" + kMark,
                        "Made by halftone demo, whose next run replaces this directory.\n");
}

void check_own(const DemoOptions& demo) {
  if (demo.force) return;
  std::error_code none;
  for (const std::string& path :
       {demo.output, output_of(demo, "rtn"), name_of_original(demo.output)})
    if (fs::exists(path, none) && !fs::is_empty(path, none) && !fs::exists(path + "/" + kMark))
      throw usage_error("{} exists, and no demo made it", path)
          .hint("pass --force to replace it, or another -o.");
}

// The model to start from: the given one, or when that is rounded already its regridded copy, since
// rounding to 4 bits what lies on a 4-bit grid would show nothing.
OpenedModel open_original(const DemoOptions& demo) {
  OpenedModel model =
      open_model(demo.model.empty() ? need("", fetched_model(), "the demo's model") : demo.model);
  if (!model.quantized()) return model;
  const std::string path = name_of_original(demo.output);
  say(demo, fmt::format("Fetched     {} ({})\n            {}", model.name(), model.quantization,
                        plan_subtitle(model)));
  say(demo,
      "            On a 4-bit grid already, so a copy in bf16 whose channels are rescaled in\n"
      "            pairs that cancel plays the original: the same function, other values.");
  check_place(path, model, true);
  write_regridded(model, path, {.force = true, .quiet = demo.quiet});
  mark(path);
  return open_model(path);
}

QuantizeOptions quantize_options(const DemoOptions& demo, const OpenedModel& model,
                                 const std::string& method, const std::string& calibration) {
  QuantizeOptions options;
  options.output = output_of(demo, method);
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

// Goes on with what an interrupted demo left, unless that was another job.
QuantizeOutcome quantize_or_resume(Backend& backend, const OpenedModel& model,
                                   const DemoOptions& demo, QuantizeOptions options) {
  options.resume = fs::exists(options.output + ".journal");
  if (!options.resume) return quantize(backend, model, options);
  try {
    return quantize(backend, model, options);
  } catch (const Error& error) {
    if (error.exit() != Exit::usage) throw;
    say(demo,
        "            An earlier demo's unfinished work was of other settings: starting anew.");
  }
  options.resume = false;
  return quantize(backend, model, options);
}

EvaluateOptions evaluate_options(const DemoOptions& demo) {
  return {.seq_len = demo.seq_len, .windows = demo.windows, .quiet = demo.quiet};
}

void measure(Backend& backend, const OpenedModel& original, const DemoOptions& demo,
             const std::string& method, Story& story) {
  const bool rtn = method == "rtn";
  const std::string output = output_of(demo, method);
  say(demo,
      fmt::format("\nQuantizing  {} to {}",
                  rtn ? "by rounding to nearest" : "by GPTQ, with calibration text,", output));
  story.options = quantize_options(demo, original, method, story.calibration_path);
  settle(story.options, backend);
  story.outcome = quantize_or_resume(backend, original, demo, story.options);
  mark(output);
  say(demo,
      fmt::format("Wrote       {}, {}, verified: every code reread; in {}", output,
                  human_bytes(story.outcome.output_bytes), human_seconds(story.outcome.seconds)));
  const OpenedModel quantized = open_model(output);
  say(demo, fmt::format("Measuring   {} against the original on {} of {} tokens", output,
                        count_text(demo.windows, "window"), human_count(demo.seq_len)));
  story.contenders.push_back(
      {rtn ? "round to nearest" : "GPTQ",
       evaluate(backend, quantized, &original, story.text_path, evaluate_options(demo))});
  if (rtn)
    for (const std::string& note : story.contenders.back().evaluation.notes)
      spdlog::warn("{}", note);
}

std::string answer(Backend& backend, const OpenedModel& model) {
  GenerateOptions options;
  options.tokens = kAnswerTokens;
  options.quiet = true;
  // The likeliest words of a model this small go in circles, original or not.
  options.sampler = {.temperature = kTemperature, .seed = 1};
  std::string text = generate(backend, model, kPrompt, options, {}).text;
  for (char& c : text)
    if (c == '\n') c = ' ';
  return text;
}

// Words in lines of a terminal's width, each behind `indent` blanks but the first.
std::string wrapped(const std::string& text, size_t indent) {
  std::string lines;
  size_t column = indent;
  for (size_t at = 0; at < text.size();) {
    const size_t begin = text.find_first_not_of(' ', at);
    if (begin == std::string::npos) break;
    at = std::min(text.find(' ', begin), text.size());
    if (column > indent && column + 1 + (at - begin) > kColumns) {
      lines += "\n" + std::string(indent, ' ');
      column = indent;
    }
    if (column > indent) lines += ' ', ++column;
    lines += text.substr(begin, at - begin);
    column += at - begin;
  }
  return lines;
}

std::string cell(double value, double error, int digits) {
  return fmt::format("{:.{}f} ± {:.{}f}", value, digits, error, digits);
}

std::string table(const Evaluation& base, const std::vector<Contender>& contenders) {
  std::string text = fmt::format("{:<16}{:>9}{:>12}{:>16}{:>17}{:>9}\n", "", "size", "bits/weight",
                                 "perplexity", "KL divergence", "same top");
  text +=
      fmt::format("{:<16}{:>9}{:>12.3f}{:>16}\n", "original", human_bytes(base.size_bytes),
                  base.bits_per_weight_linears, cell(base.perplexity, base.perplexity_stderr, 3));
  for (const Contender& one : contenders) {
    const Evaluation& e = one.evaluation;
    text += fmt::format("{:<16}{:>9}{:>12.3f}{:>16}{:>17}{:>8.1f}%\n", one.label,
                        human_bytes(e.size_bytes), e.bits_per_weight_linears,
                        cell(e.perplexity, e.perplexity_stderr, 3),
                        cell(*e.kl_mean, *e.kl_stderr, 4), 100 * *e.top1_agreement);
  }
  return text;
}

void write_page(const Backend& backend, const OpenedModel& original, const DemoOptions& demo,
                const Story& story) {
  ReportInput input = report_of(backend, original, story.outcome, story.options);
  const Evaluation base = base_of(story.contenders.back().evaluation);
  input.rows.push_back(report_row("original", base));
  input.rows.back().base = true;
  for (const Contender& one : story.contenders)
    input.rows.push_back(report_row(one.label, one.evaluation));
  input.samples = {{kPrompt, story.answers}};
  const Evaluation& e = story.contenders.back().evaluation;
  input.measured_on = fmt::format(
      "{} protocol: {} of {} of {}, {} tokens scored", e.protocol, count_text(e.windows, "window"),
      human_count(e.seq_len), fs::path(story.text_path).filename().string(), human_count(e.tokens));
  input.commands.push_back(
      {"the comparison",
       fmt::format("halftone eval {} --against {} --text {} --windows {} --seq-len {}",
                   shell_quoted(demo.output), shell_quoted(original.checkpoint->path()),
                   shell_quoted(story.text_path), demo.windows, demo.seq_len)});
  write_file_atomically(demo.report, render_report(input));
}

void tell(Backend& backend, const DemoOptions& demo) {
  Story story;
  story.calibration_path =
      need(demo.calibration, fetched_text("calibration.txt"), "the demo's calibration text");
  story.text_path = need(demo.text, fetched_text("evaluation.txt"), "the demo's evaluation text");
  check_own(demo);
  check_writable(demo.report);
  const OpenedModel original = open_original(demo);
  say(demo,
      fmt::format("Original    {}\n            {}", original.name(), plan_subtitle(original)));
  for (const std::string& path : {demo.output, output_of(demo, "rtn")})
    check_place(path, original, true);
  check_text(original, story.text_path, evaluate_options(demo));
  measure(backend, original, demo, "rtn", story);
  measure(backend, original, demo, "gptq", story);
  say(demo, fmt::format("Writing     {} tokens each, after the same words", kAnswerTokens));
  story.answers = {{"original", answer(backend, original)},
                   {"GPTQ", answer(backend, open_model(demo.output))}};
  write_page(backend, original, demo, story);

  show("\n" + table(base_of(story.contenders.back().evaluation), story.contenders));
  show(fmt::format("{}…", kPrompt));
  for (const auto& [label, text] : story.answers)
    show(fmt::format("  {:<10}{}", label, wrapped(text, 12)));
  show(fmt::format(
      "(Drawn at temperature {}, the same draws for both. One sample of a model of {:.0f} M\n"
      "parameters says little: the table says what quantizing cost.)",
      kTemperature, static_cast<double>(measure_size(original).parameters) / 1e6));
  show(
      fmt::format("\nReport   {}      Model   {}/      Original   {}\n"
                  "Try      {} generate {} --prompt \"Once upon a time\"\n"
                  "         {} quantize YOUR-MODEL -o OUT --calib YOUR-TEXT",
                  demo.report, demo.output, original.checkpoint->path(), shell_quoted(demo.program),
                  shell_quoted(demo.output), shell_quoted(demo.program)));
}

}  // namespace

void run_demo(Backend& backend, const DemoOptions& demo) {
  try {
    tell(backend, demo);
  } catch (const Error& error) {
    if (error.exit() != Exit::interrupted) throw;
    throw Error(Exit::interrupted, error.what())
        .hint("run it again: quantizing goes on where it stopped, the rest is done anew.");
  }
}

}  // namespace halftone
