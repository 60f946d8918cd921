// A comparison as the table that people read, as JSON, and as a page.
#include <fmt/core.h>

#include <algorithm>
#include <filesystem>

#include "apps/compare.h"
#include "apps/quantize_report.h"
#include "base/count_text.h"
#include "base/file.h"
#include "base/progress.h"

namespace halftone {
namespace {

std::string label_of(const CompareRow& row) {
  const std::string groups =
      row.group_size > 0 ? fmt::format("groups of {}", row.group_size) : "whole rows";
  std::string label =
      row.method + " " +
      (row.gguf_type.empty() ? fmt::format("{} bits, {}", row.bits, groups) : row.gguf_type);
  for (const std::string& file : {row.calibration, row.dynamic})
    if (!file.empty()) label += ", " + file;
  return label;
}

// What sets cells apart beside method, bits and group, where they differ in it.
std::string apart(const CompareRow& row, bool samples) {
  std::string text = samples && row.samples > 0 ? count_text(row.samples, "sample") : "";
  for (const std::string& file : {row.calibration, row.dynamic})
    if (!file.empty()) text += (text.empty() ? "" : ", ") + file;
  return text;
}

bool samples_differ(const Comparison& comparison) {
  int64_t seen = 0;
  for (const CompareRow& row : comparison.rows) {
    if (row.samples == 0) continue;
    if (seen != 0 && seen != row.samples) return true;
    seen = row.samples;
  }
  return false;
}

// Of several rows of the same width, or type of a GGUF, that with the least KL divergence. Rules
// give some modules other widths: such rows are no match for the others.
bool is_best(const Comparison& comparison, const CompareRow& row) {
  if (!row.dynamic.empty()) return false;
  int others = 0;
  for (const CompareRow& other : comparison.rows) {
    if (&other == &row || other.bits != row.bits || other.gguf_type != row.gguf_type ||
        !other.dynamic.empty())
      continue;
    if (*other.evaluation.kl_mean <= *row.evaluation.kl_mean) return false;
    ++others;
  }
  return others > 0;
}

// Where bits and group stand in the table.
std::string width_of(const CompareRow& row) {
  return row.gguf_type.empty() ? fmt::format("{:>4}{:>7}", row.bits, row.group_size)
                               : fmt::format("{:>11}", row.gguf_type);
}

std::string line(std::string text) {
  text.erase(text.find_last_not_of(' ') + 1);
  return text + "\n";
}

}  // namespace

std::string compare_table(const Comparison& comparison) {
  const bool samples = samples_differ(comparison);
  const bool gguf = !comparison.rows.empty() && !comparison.rows.front().gguf_type.empty();
  std::string text =
      line(fmt::format("{:<9}{:>11}{:>13}{:>9}  {:<18}{:<19}{:>9}{:>13}{:>9}", "method",
                       gguf ? "type" : "bits  group", "bits/weight", "size", "perplexity",
                       "KL divergence", "same top", "time", "memory"));
  const Evaluation& base = comparison.base;
  text += line(fmt::format("{:<9}{:>11}{:>13.3f}{:>9}  {:<18}", "original", "",
                           base.bits_per_weight_linears, human_bytes(base.size_bytes),
                           perplexity_cell(base.perplexity, base.perplexity_stderr)));
  for (const CompareRow& row : comparison.rows) {
    const Evaluation& e = row.evaluation;
    std::string more = apart(row, samples);
    if (is_best(comparison, row))
      more += fmt::format(
          "{}← least loss {}", more.empty() ? "" : "  ",
          row.gguf_type.empty() ? fmt::format("at {} bits", row.bits) : "of " + row.gguf_type);
    text += line(
        fmt::format("{:<9}{}{:>13.3f}{:>9}  {:<18}{:<19}{:>7.1f} %{:>13}{:>9}   {}", row.method,
                    width_of(row), e.bits_per_weight_linears, human_bytes(e.size_bytes),
                    perplexity_cell(e.perplexity, e.perplexity_stderr),
                    fmt::format("{:.4f} ± {:.4f}", *e.kl_mean, *e.kl_stderr),
                    100 * *e.top1_agreement, row.seconds > 0 ? human_seconds(row.seconds) : "",
                    row.peak_memory_bytes > 0 ? human_bytes(row.peak_memory_bytes) : "", more));
  }
  text += fmt::format("{} protocol: {} of {}, {} tokens scored\n", base.protocol,
                      count_text(base.windows, "window"), human_count(base.seq_len),
                      human_count(base.tokens));
  for (const std::string& note : comparison.notes) text += "note: " + note + "\n";
  return text;
}

Json to_json(const Comparison& comparison) {
  Json json;
  json["protocol"] = comparison.base.protocol;
  json["seq_len"] = comparison.base.seq_len;
  json["windows"] = comparison.base.windows;
  json["tokens"] = comparison.base.tokens;
  json["base"] = {{"perplexity", comparison.base.perplexity},
                  {"perplexity_stderr", comparison.base.perplexity_stderr},
                  {"size_bytes", comparison.base.size_bytes},
                  {"bits_per_weight_linears", comparison.base.bits_per_weight_linears},
                  {"bits_per_weight_file", comparison.base.bits_per_weight_file}};
  Json rows = Json::array();
  for (const CompareRow& row : comparison.rows) {
    Json cell;
    cell["method"] = row.method;
    if (!row.gguf_type.empty()) cell["gguf_type"] = row.gguf_type;
    cell["bits"] = row.bits;
    cell["group_size"] = row.group_size;
    if (row.samples > 0) cell["samples"] = row.samples;
    if (!row.calibration.empty()) cell["calibration"] = row.calibration;
    if (!row.dynamic.empty()) cell["dynamic"] = row.dynamic;
    for (const auto& [name, step] :
         {std::pair("scale_search", row.scale_search), std::pair("order", row.order),
          std::pair("token_weights", row.token_weights),
          std::pair("calib_inputs", row.calib_inputs)})
      if (!step.empty()) cell[name] = step;
    cell["quantize_seconds"] = row.seconds;
    cell["quantize_peak_memory_bytes"] = row.peak_memory_bytes;
    cell.update(to_json(row.evaluation));
    rows.push_back(std::move(cell));
  }
  json["rows"] = std::move(rows);
  json["notes"] = comparison.notes;
  return json;
}

void write_compare_report(const Backend& backend, const OpenedModel& model,
                          const CompareOptions& options, const Comparison& comparison,
                          const std::string& path) {
  ReportInput input;
  input.title = model.name() + ", compared";
  input.subtitle = plan_subtitle(model);
  input.rows.push_back(report_row("original", comparison.base));
  input.rows.back().base = true;
  const bool samples = samples_differ(comparison);
  for (const CompareRow& row : comparison.rows) {
    input.rows.push_back(report_row(label_of(row), row.evaluation));
    input.rows.back().detail = apart(row, samples);
    input.rows.back().series = row.method;
  }
  const Evaluation& base = comparison.base;
  input.measured_on = fmt::format("{} protocol: {} of {} of {}, {} tokens scored", base.protocol,
                                  count_text(base.windows, "window"), human_count(base.seq_len),
                                  std::filesystem::path(options.text).filename().string(),
                                  human_count(base.tokens));
  input.machine = {{"device", backend.info().device}};
  input.notes = comparison.notes;
  input.program = options.quantize.program_version;
  write_file_atomically(path, render_report(input));
}

}  // namespace halftone
