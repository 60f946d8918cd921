// Facts of an outcome, laid out for people.
#include "apps/quantize_report.h"

#include <fmt/core.h>

#include <algorithm>
#include <map>

#include "apps/product_rate.h"
#include "base/count_text.h"
#include "base/file.h"
#include "base/progress.h"
#include "base/shell_quote.h"

namespace halftone {
namespace {

std::string short_module(const std::string& module) {
  const size_t at = module.find("layers.");
  return at == std::string::npos ? module : module.substr(at);
}

std::string readers_line(const Plan& plan) {
  std::string opens, refuses;
  for (const ReaderVerdict& reader : plan.readers()) {
    std::string& list = reader.opens ? opens : refuses;
    list += (list.empty() ? "" : ", ") + reader.reader;
  }
  if (opens.empty()) return "Refused   by " + refuses;
  return "Opens in  " + opens + (refuses.empty() ? "" : "; refused by " + refuses);
}

// What the solver had to do beyond the usual, and in how many linears.
std::map<std::string, int> count_notes(const QuantizeOutcome& outcome) {
  std::map<std::string, int> notes;
  for (const StageRecord& stage : outcome.stages)
    for (const FinishedLinear& linear : stage.linears)
      if (!linear.report.note.empty()) ++notes[linear.report.note];
  return notes;
}

// "61.0 s (of which 22.4 s before the interruption)"
std::string time_text(const QuantizeOutcome& outcome) {
  const std::string before = outcome.seconds_before > 0
                                 ? fmt::format(" (of which {} before the interruption)",
                                               human_seconds(outcome.seconds_before))
                                 : "";
  return human_seconds(outcome.seconds) + before;
}

Json stage_json(const std::string& name, const ProfileRow& row) {
  Json json;
  json["stage"] = name;
  json["seconds"] = row.seconds;
  json["calls"] = row.calls;
  if (row.operations > 0) {
    json["operations"] = row.operations;
    json["gflops"] = row.operations / row.seconds / 1e9;
  }
  return json;
}

ReportFacts settings_of(const QuantizeOutcome& outcome, const QuantizeOptions& options) {
  const Plan& plan = outcome.plan;
  const Grid grid = plan.main_grid();
  ReportFacts facts = {
      {"method", std::string(plan.method->name)},
      {"recipe", options.recipe},
      {"bits", std::to_string(grid.bits)},
      {"group size", grid.group_size < 0 ? "whole rows" : std::to_string(grid.group_size)},
      {"grid", grid.symmetric ? "symmetric" : "asymmetric"},
      {"scale search",
       search_name(plan.solver) == "power" ? "power 2.4" : std::string(search_name(plan.solver))}};
  if (plan.method->in_order) {
    const bool act = plan.solver.order == ColumnOrder::activation;
    facts.emplace_back("order", act ? "act (static groups)" : "none");
    facts.emplace_back("damping", fmt::format("{:.3g}", plan.solver.damping));
  }
  if (plan.method->needs_hessian) {
    facts.emplace_back("token weights", std::string(name_of(plan.solver.tokens)));
    facts.emplace_back("calibration inputs", std::string(name_of(plan.solver.inputs)));
  }
  facts.emplace_back("calibration", outcome.samples_text + " from " + outcome.calibration_source);
  facts.emplace_back("seed", std::to_string(options.seed));
  facts.emplace_back("format", std::string(plan.format->name));
  return facts;
}

}  // namespace

std::string outcome_text(const QuantizeOutcome& outcome, const QuantizeOptions& options,
                         const OpenedModel& model) {
  const Plan& plan = outcome.plan;
  std::string text = fmt::format(
      "Wrote     {}  {}; {:.3f} bits a weight in the linears, {:.2f} over the whole file\n"
      "          verified: {}\n",
      options.output, human_bytes(outcome.output_bytes), plan.bits_per_weight_linears,
      plan.bits_per_weight_file,
      plan.dense ? "reread, and held against the original" : "every code reread, forward finite");
  if (!outcome.scaling.empty()) text += "Scales    " + outcome.scaling + "\n";
  const HeldOutLoss& loss = outcome.loss;
  if (loss.windows > 0)
    text += fmt::format(
        "Loss      KL {:.4f} ± {:.4f} on {}; "
        "perplexity {:.3f} → {:.3f}\n",
        loss.kl_mean, loss.kl_stderr, count_text(loss.windows, "held-out calibration window"),
        loss.base_perplexity, loss.perplexity);
  else
    text += "Loss      not measured: no calibration window was left to hold out\n";
  std::string worst;
  for (const FinishedLinear* linear : worst_linears(outcome, 2))
    worst += fmt::format("{}{} {:.1e}", worst.empty() ? "" : " │ ", short_module(linear->module),
                         *linear->report.relative_error);
  if (!worst.empty()) text += "          largest: " + worst + "\n";
  for (const auto& [note, count] : count_notes(outcome))
    text += fmt::format("Note      {}: {}\n", count_text(count, "linear"), note);
  if (!plan.dense) text += readers_line(plan) + "\n";
  text += fmt::format("{}, {} of memory at most. Next: halftone eval {} --against {} --text FILE\n",
                      time_text(outcome), human_bytes(outcome.peak_memory_bytes),
                      shell_quoted(options.output), shell_quoted(model.checkpoint->path()));
  return text;
}

void write_profile(Backend& backend, const QuantizeOutcome& outcome, const Profile& profile,
                   const std::string& path) {
  Json json;
  const double seconds = outcome.seconds - outcome.seconds_before;  // of this run
  json["seconds"] = seconds;
  json["machine"] = backend.info().device;
  const DType fastest = backend.info().native_bf16 ? DType::bf16 : DType::f32;
  const double ceiling = measure_product_rate(backend, fastest);
  json["ceiling_type"] = name_of(fastest);
  json["ceiling_gflops"] = ceiling / 1e9;
  std::vector<std::pair<std::string, ProfileRow>> rows(profile.rows().begin(),
                                                       profile.rows().end());
  std::sort(rows.begin(), rows.end(),
            [](const auto& a, const auto& b) { return a.second.seconds > b.second.seconds; });
  double operations = 0, accounted = 0;
  for (const auto& [name, row] : rows) {
    json["stages"].push_back(stage_json(name, row));
    operations += row.operations;
    accounted += row.seconds;
  }
  json["operations"] = operations;
  json["everything_else_seconds"] = seconds - accounted;
  json["seconds_at_ceiling"] = operations / ceiling;
  json["times_ceiling"] = seconds / (operations / ceiling);
  write_file_atomically(path, json.dump(2) + "\n");
}

ReportRow report_row(const std::string& label, const Evaluation& evaluation) {
  ReportRow row;
  row.label = label;
  row.bytes = evaluation.size_bytes;
  row.bits_per_weight = evaluation.bits_per_weight_linears;
  row.bits_per_weight_file = evaluation.bits_per_weight_file;
  row.perplexity = evaluation.perplexity;
  row.perplexity_stderr = evaluation.perplexity_stderr;
  row.kl = evaluation.kl_mean;
  row.kl_stderr = evaluation.kl_stderr;
  row.kl_p50 = evaluation.kl_p50;
  row.kl_p99 = evaluation.kl_p99;
  row.top1_agreement = evaluation.top1_agreement;
  return row;
}

ReportInput report_of(const Backend& backend, const OpenedModel& model,
                      const QuantizeOutcome& outcome, const QuantizeOptions& options) {
  ReportInput input;
  input.title = fmt::format("{} in {} bits", model.name(), options.bits);
  input.subtitle = plan_subtitle(model);
  for (const StageRecord& stage : outcome.stages) {
    for (const FinishedLinear& linear : stage.linears)
      if (linear.report.relative_error)
        input.modules.push_back({.layer = linear.key.layer,
                                 .role = std::string(name_of(linear.key.role)),
                                 .name = linear.module,
                                 .rows = model.tensors->shape(linear.key).first,
                                 .cols = model.tensors->shape(linear.key).second,
                                 .relative_error = *linear.report.relative_error,
                                 .damping = linear.report.damping,
                                 .note = linear.report.note});
    for (const LoudChannel& loud : stage.loudest)
      input.largest_activations.emplace_back(
          fmt::format("layers.{}.{}[{}]{}", stage.id.layer, name_of(stage.id.stage), loud.channel,
                      outcome.plan.weighs_tokens(stage.id.stage) ? " (tokens weighed)" : ""),
          loud.rms);
  }
  std::stable_sort(input.largest_activations.begin(), input.largest_activations.end(),
                   [](const auto& a, const auto& b) { return a.second > b.second; });
  if (input.largest_activations.size() > 12) input.largest_activations.resize(12);
  input.settings = settings_of(outcome, options);
  input.machine = {{"device", backend.info().device},
                   {"instructions", backend.info().instructions},
                   {"time", time_text(outcome)},
                   {"peak memory", human_bytes(outcome.peak_memory_bytes)}};
  input.hashes = {{"original model (SHA-256)", outcome.model_fingerprint},
                  {"calibration text (SHA-256)", outcome.calibration_sha256}};
  input.program = options.program_version.substr(0, options.program_version.find('\n'));
  input.commands = {{"the same quantization", "halftone quantize --config " +
                                                  shell_quoted(options.output + "/quantize.toml") +
                                                  " -o OUT"}};
  return input;
}

std::string plan_subtitle(const OpenedModel& model) {
  const ModelSize size = measure_size(model);
  return fmt::format("{}, {}, {:.1f} M parameters, {}", model.config().model_type,
                     count_text(model.config().layers, "layer"),
                     static_cast<double>(size.parameters) / 1e6, human_bytes(size.file_bytes));
}

void write_quantize_report(const Backend& backend, const OpenedModel& model,
                           const QuantizeOutcome& outcome, const QuantizeOptions& options,
                           const std::string& path) {
  ReportInput input = report_of(backend, model, outcome, options);
  const HeldOutLoss& loss = outcome.loss;
  const ModelSize size = measure_size(model);
  if (loss.windows > 0) {
    input.measured_on = loss.windows_text + " of the calibration text that were held out";
    ReportRow base{.label = "original",
                   .base = true,
                   .bytes = size.file_bytes,
                   .bits_per_weight = size.bits_per_weight_linears,
                   .bits_per_weight_file = size.bits_per_weight_file,
                   .perplexity = loss.base_perplexity};
    ReportRow made{.label = std::string(outcome.plan.method->name),
                   .bytes = outcome.output_bytes,
                   .bits_per_weight = outcome.plan.bits_per_weight_linears,
                   .bits_per_weight_file = outcome.plan.bits_per_weight_file,
                   .perplexity = loss.perplexity,
                   .kl = loss.kl_mean,
                   .kl_stderr = loss.kl_stderr,
                   .top1_agreement = loss.top1_agreement};
    input.rows = {base, made};
  }
  write_file_atomically(path, render_report(input));
}

}  // namespace halftone
