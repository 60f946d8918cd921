// The words that go with a quantized model: its card, and the file that makes it again. No times,
// no paths of outputs: the same run writes the same bytes.
#include <fmt/core.h>

#include <cmath>
#include <filesystem>
#include <sstream>

#include "apps/dynamic_rules.h"
#include "apps/quantize_output.h"
#include "apps/toml_strings.h"
#include "base/file.h"
#include "base/progress.h"

namespace halftone {
namespace {

std::string loss_section(const QuantizeOutcome& outcome) {
  const HeldOutLoss& loss = outcome.loss;
  if (loss.windows == 0) return "Not measured: no calibration window was left to hold out.\n";
  return fmt::format(
      "On {} of the calibration text that were held out ({} predictions):\n\n"
      "| | original | quantized |\n| --- | --- | --- |\n"
      "| perplexity | {:.4f} | {:.4f} |\n"
      "| KL divergence to the original | | {:.5f} ± {:.5f} |\n"
      "| same top token | | {:.2f} % |\n",
      loss.windows_text, human_count(loss.tokens), loss.base_perplexity, loss.perplexity,
      loss.kl_mean, loss.kl_stderr, 100 * loss.top1_agreement);
}

std::string layer_errors(const QuantizeOutcome& outcome) {
  const auto worst = worst_linears(outcome, 10);
  if (worst.empty()) return "";
  std::string text =
      "\nLinears with the largest relative error tr(ΔHΔᵀ) / tr(WHWᵀ):\n\n"
      "| module | relative error |\n| --- | --- |\n";
  for (const FinishedLinear* linear : worst)
    text += fmt::format("| {} | {:.2e} |\n", linear->module, *linear->report.relative_error);
  return text;
}

std::string readers_section(const Plan& plan) {
  std::string text;
  for (const ReaderVerdict& reader : plan.readers())
    text += fmt::format("- {}: {}\n", reader.reader,
                        reader.opens ? (reader.why.empty() ? "opens" : "opens; " + reader.why)
                                     : "refuses: " + reader.why);
  return text;
}

// A GGUF's mix has no one width.
std::string title_of(const Plan& plan) {
  if (plan.dense) return "scaled for " + plan.grid_text();
  if (plan.mix != nullptr) return fmt::format("in {}", plan.mix->name);
  return fmt::format("in {} bits", plan.main_grid().bits);
}

}  // namespace

std::string model_card(const OutputInput& input) {
  const QuantizeOutcome& outcome = input.outcome;
  const Plan& plan = outcome.plan;
  std::string text = fmt::format("---\nlibrary_name: {}\ntags:\n- halftone\n- {}\n",
                                 plan.mix != nullptr ? "gguf" : "transformers", plan.format->name);
  // Of a name on the hub.
  if (input.model.name().find('/') != std::string::npos)
    text += fmt::format("base_model: {}\nbase_model_relation: quantized\n", input.model.name());
  text += "---\n";
  text += fmt::format("# {} {}\n\nMade by Halftone from `{}`.\n\n## Settings\n\n",
                      input.model.name(), title_of(plan), input.model.name());
  text += fmt::format(
      "- method {}, {}\n- {:.3f} bits a weight in the linears, {:.2f} over the whole file\n",
      plan.method->name, plan.grid_text(), plan.bits_per_weight_linears, plan.bits_per_weight_file);
  if (const std::string head = head_text(input.model, plan); !head.empty())
    text += "- " + head + "\n";
  if (!outcome.scaling.empty()) text += "- " + outcome.scaling + "\n";
  if (outcome.samples > 0)
    text += fmt::format("- calibrated on {}, SHA-256 of the text {}\n", outcome.samples_text,
                        outcome.calibration_sha256);
  text += fmt::format("- SHA-256 of the original's tensors and configuration {}\n",
                      outcome.model_fingerprint);
  text += "- the same again: `halftone quantize --config quantize.toml -o OUT`\n\n## Loss\n\n";
  text += loss_section(outcome);
  text += layer_errors(outcome);
  text += "\n## Opens in\n\n" + readers_section(plan);
  return text;
}

namespace {

// What was asked of the grid: by numbers, or by a GGUF's types.
std::string grid_lines(const QuantizeOptions& options) {
  std::string text;
  if (options.gguf.type.empty())
    text = fmt::format("bits = {}\ngroup-size = {}\n{} = true\n", options.bits, options.group_size,
                       options.symmetric ? "sym" : "asym");
  const std::pair<const char*, const std::string&> types[] = {
      {"gguf-type", options.gguf.type},
      {"embedding-type", options.gguf.embedding_type},
      {"head-type", options.gguf.head_type}};
  for (const auto& [name, value] : types)
    if (!value.empty()) text += fmt::format("{} = {}\n", name, toml_quoted(value));
  return text;
}

// All of them as one line of JSON, wherever they were read: a directory may move. Between single
// quotes nothing is unescaped.
std::string rules(const std::vector<std::string>& dynamic) {
  std::string line;
  for (const char character : DynamicRules::read(dynamic).dump())
    line += character == '\'' ? std::string("\\u0027") : std::string(1, character);
  return "'" + line + "'";
}

}  // namespace

std::string reproduction_config(const QuantizeOptions& options, const OpenedModel& model) {
  const auto absolute = [](const std::string& path) {
    return std::filesystem::absolute(path).lexically_normal().string();
  };
  std::vector<std::string> calibration;
  for (const std::string& path : options.calibration) calibration.push_back(absolute(path));
  std::string text = "# halftone quantize --config quantize.toml -o OUT\n[quantize]\n";
  text += fmt::format(
      "model = {}\nmethod = {}\nrecipe = {}\nformat = {}\n",
      toml_quoted(model.name().find('/') == std::string::npos ? absolute(model.checkpoint->path())
                                                              : model.name()),
      toml_quoted(options.method), toml_quoted(options.recipe), toml_quoted(options.format));
  text += grid_lines(options);
  if (!options.skip.empty()) text += fmt::format("skip = {}\n", toml_list(options.skip));
  if (!options.dynamic.empty()) text += fmt::format("dynamic = {}\n", rules(options.dynamic));
  if (!calibration.empty()) text += fmt::format("calib = {}\n", toml_list(calibration));
  if (options.samples_given) text += fmt::format("samples = {}\n", options.samples);
  if (options.sequences != "packed")
    text += fmt::format("sequences = {}\n", toml_quoted(options.sequences));
  text += fmt::format("seq-len = {}\nseed = {}\ndamp = {}\n", options.seq_len, options.seed,
                      options.damping);
  if (!options.order.empty()) text += fmt::format("order = {}\n", toml_quoted(options.order));
  if (!options.token_weights.empty())
    text += fmt::format("token-weights = {}\n", toml_quoted(options.token_weights));
  if (!options.calib_inputs.empty())
    text += fmt::format("calib-inputs = {}\n", toml_quoted(options.calib_inputs));
  if (options.scales_only) text += "scales-only = true\n";
  if (options.lm_head) text += "lm-head = true\n";
  if (!options.scale_search.empty())
    text += fmt::format("scale-search = {}\n", toml_quoted(options.scale_search));
  if (options.max_shard_bytes > 0)
    text +=
        fmt::format("max-shard-size = {}\n", toml_quoted(std::to_string(options.max_shard_bytes)));
  text += fmt::format("dtype = {}\ndevice = {}\n", toml_quoted(options.dtype),
                      toml_quoted(options.device));
  return text;
}

std::vector<std::string> calibration_files_of(const std::string& directory) {
  const std::string path = directory + "/quantize.toml";
  if (!std::filesystem::exists(path)) return {};
  std::istringstream lines(read_file(path));
  constexpr std::string_view kKey = "calib = ";
  for (std::string line; std::getline(lines, line);)
    if (line.starts_with(kKey)) {
      return read_toml_strings(std::string_view(line).substr(kKey.size()), path);
    }
  return {};
}

}  // namespace halftone
