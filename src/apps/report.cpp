// The sections of the report, in the order in which they are read.
#include "apps/report.h"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>

#include "apps/report_charts.h"
#include "apps/report_style.h"
#include "base/progress.h"

namespace halftone {
namespace {

using report::escaped;
using report::figure;
using report::with_error;

const ReportRow* base_of(const std::vector<ReportRow>& rows) {
  const auto it =
      std::find_if(rows.begin(), rows.end(), [](const ReportRow& row) { return row.base; });
  return it == rows.end() ? nullptr : &*it;
}

// The least loss: by KL where it was measured, else by perplexity.
const ReportRow* best_of(const std::vector<ReportRow>& rows) {
  const ReportRow* best = nullptr;
  const auto loss = [](const ReportRow& row) {
    return row.kl ? *row.kl : row.perplexity ? *row.perplexity : INFINITY;
  };
  for (const ReportRow& row : rows) {
    if (!row.base && (!best || loss(row) < loss(*best))) best = &row;
  }
  return best;
}

std::string number(const std::optional<double>& value, const std::optional<double>& error) {
  if (!value) return "";
  return error ? with_error(*value, *error) : figure(*value);
}

std::string percent(double fraction) { return fmt::format("{:.1f}\u00A0%", 100 * fraction); }
std::string signed_percent(double fraction) {
  return fmt::format("{}{:.2f}\u00A0%", fraction < 0 ? "−" : "+", 100 * std::abs(fraction));
}

// "2.73 × smaller"; nothing where a size is not known.
std::optional<std::string> size_change(const ReportRow& row, const ReportRow* base) {
  if (!base || base->bytes <= 0 || row.bytes <= 0) return std::nullopt;
  const double ratio = static_cast<double>(base->bytes) / static_cast<double>(row.bytes);
  return ratio >= 1 ? fmt::format("{:.2f}\u00A0× smaller", ratio)
                    : fmt::format("{:.2f}\u00A0× larger", 1 / ratio);
}
std::optional<double> perplexity_change(const ReportRow& row, const ReportRow* base) {
  if (!base || !base->perplexity || !row.perplexity) return std::nullopt;
  return *row.perplexity / *base->perplexity - 1;
}

std::string section(const std::string& title, const std::string& body) {
  return "<section><h2>" + title + "</h2>\n" + body + "\n</section>\n";
}
std::string wide(const std::string& body) { return "<div class=\"wide\">" + body + "</div>\n"; }
std::string soft(const std::string& text) {
  return text.empty() ? "" : "<p class=\"soft\">" + escaped(text) + "</p>\n";
}
std::string tile(const std::string& value, const std::string& what) {
  return "<li><b>" + escaped(value) + "</b><small>" + escaped(what) + "</small></li>\n";
}

std::string tiles(const std::vector<ReportRow>& rows) {
  const ReportRow* best = best_of(rows);
  if (!best) return "";
  const ReportRow* base = base_of(rows);
  std::string out;
  if (const auto change = size_change(*best, base)) {
    const size_t space = change->find(' ');
    out += tile(change->substr(0, space), change->substr(space + 1) + " than " + base->label);
  }
  if (const auto change = perplexity_change(*best, base))
    out += tile(signed_percent(*change), "perplexity");
  if (best->kl) out += tile(figure(*best->kl), "KL divergence, nats a token");
  if (best->top1_agreement)
    out += tile(percent(*best->top1_agreement), "same most likely next token");
  if (best->bits_per_weight > 0) {
    out += tile(fmt::format("{:.4g} bits", best->bits_per_weight),
                "a weight of the quantized linears");
  }
  return out.empty() ? "" : "<ul class=\"tiles\">\n" + out + "</ul>\n";
}

std::string bits(const ReportRow& row) {
  if (row.bits_per_weight <= 0) return "";
  std::string out = fmt::format("{:.4g}", row.bits_per_weight);
  if (row.bits_per_weight_file > 0)
    out += fmt::format("<small>{:.4g} whole file</small>", row.bits_per_weight_file);
  return out;
}

std::string table_row(const ReportRow& row, const ReportRow* base, bool best) {
  const auto small = [](const std::string& text) {
    return text.empty() ? "" : "<small>" + escaped(text) + "</small>";
  };
  const auto resized = size_change(row, base);
  const auto change = perplexity_change(row, base);
  std::string out = best ? "<tr class=\"best\">" : "<tr>";
  out += "<th scope=\"row\">" + escaped(row.label) + small(row.detail) + "</th>";
  out += "<td>" + (row.bytes > 0 ? escaped(human_bytes(row.bytes)) : "") +
         small(resized && !row.base ? *resized : "") + "</td>";
  out += "<td>" + bits(row) + "</td>";
  out += "<td>" + number(row.perplexity, row.perplexity_stderr) +
         small(change && !row.base ? signed_percent(*change) : "") + "</td>";
  out += "<td>" + number(row.kl, row.kl_stderr) +
         small(row.kl_p50 ? "median " + figure(*row.kl_p50) : "") +
         small(row.kl_p99 ? "99 % below " + figure(*row.kl_p99) : "") + "</td>";
  out += "<td>" + (row.top1_agreement ? percent(*row.top1_agreement) : "") + "</td></tr>\n";
  return out;
}

std::string comparison(const ReportInput& input) {
  if (input.rows.empty()) return "";
  const ReportRow* base = base_of(input.rows);
  const ReportRow* best = best_of(input.rows);
  std::string out =
      "<table><thead><tr><th>model</th><th>size</th><th>bits a weight</th><th>perplexity</th>"
      "<th>KL divergence</th><th>same next token</th></tr></thead><tbody>\n";
  for (const ReportRow& row : input.rows)
    out += table_row(row, base, &row == best && input.rows.size() > 2);
  out = wide(out + "</tbody></table>") + soft(input.measured_on);

  std::vector<report::Bar> sizes, losses;
  for (const ReportRow& row : input.rows) {
    const bool marked = &row == best;
    if (row.bytes > 0) {
      sizes.push_back(
          {row.label, human_bytes(row.bytes), static_cast<double>(row.bytes), {}, marked});
    }
    if (row.kl)
      losses.push_back({row.label, number(row.kl, row.kl_stderr), *row.kl, row.kl_stderr, marked});
  }
  out += "<div class=\"pair\">\n";
  if (!sizes.empty())
    out += "<figure><h3>Size of the weight files</h3>" + report::bars(sizes) + "</figure>\n";
  if (!losses.empty())
    out += "<figure><h3>KL divergence to the original</h3>" + report::bars(losses) + "</figure>\n";
  out += "</div>\n";
  const std::string plot = report::loss_against_size(input.rows);
  if (!plot.empty())
    out += "<figure><h3>Loss against size</h3>" + wide(plot) +
           "<figcaption>KL divergence on a logarithmic scale over the bits of a weight; a line "
           "joins what one method does at several widths. Lower and further left is "
           "better.</figcaption></figure>\n";
  return section("What it costs", out);
}

std::string samples(const ReportInput& input) {
  std::string out;
  for (const ReportSample& sample : input.samples) {
    out += "<h3>" + escaped(sample.prompt) + "</h3>\n<div class=\"pair\">\n";
    for (const auto& [label, text] : sample.answers) {
      out += "<div class=\"card\"><small>" + escaped(label) + "</small><p>" + escaped(text) +
             "</p></div>\n";
    }
    out += "</div>\n";
  }
  return out.empty() ? "" : section("What they write", out);
}

std::string module_table(std::vector<ReportModule> modules, size_t limit) {
  std::stable_sort(modules.begin(), modules.end(),
                   [](const ReportModule& a, const ReportModule& b) {
                     return a.relative_error > b.relative_error;
                   });
  const bool notes =
      std::any_of(modules.begin(), modules.end(), [](const auto& m) { return !m.note.empty(); });
  std::string out =
      "<table><thead><tr><th>module</th><th>outputs × inputs</th><th>relative "
      "error</th><th>damping</th>";
  out += notes ? "<th class=\"text\">note</th></tr></thead><tbody>\n" : "</tr></thead><tbody>\n";
  for (size_t i = 0; i < std::min(limit, modules.size()); ++i) {
    const ReportModule& m = modules[i];
    out += fmt::format("<tr><td>{}</td><td>{} × {}</td><td>{}</td><td>{}</td>", escaped(m.name),
                       m.rows, m.cols, figure(m.relative_error),
                       m.damping > 0 ? figure(m.damping) : "");
    if (notes) out += "<td class=\"text\">" + escaped(m.note) + "</td>";
    out += "</tr>\n";
  }
  return wide(out + "</tbody></table>");
}

std::string modules(const ReportInput& input) {
  if (input.modules.empty()) return "";
  constexpr size_t kWorst = 8;
  std::string out =
      "<p class=\"soft\">Relative error of a module is tr(ΔHΔᵀ) ÷ tr(WHWᵀ): how much of its "
      "output's power "
      "on the calibration text is error. Layer error is a guide, not the goal: the loss above "
      "is.</p>\n"
      "<figure>" +
      wide(report::error_map(input.modules)) +
      "<figcaption>Every dot is a module; larger and stronger is more error. The scale is "
      "logarithmic."
      "</figcaption></figure>\n<h3>By layer</h3>\n<figure>" +
      wide(report::error_by_layer(input.modules)) +
      "<figcaption>The mean of a layer's modules; the band is from the least to the "
      "greatest.</figcaption>"
      "</figure>\n<h3>Largest errors</h3>\n" +
      module_table(input.modules, kWorst);
  if (input.modules.size() > kWorst) {
    out += fmt::format("<details><summary>All {} modules</summary>", input.modules.size()) +
           module_table(input.modules, input.modules.size()) + "</details>";
  }
  return section("Where the error is", out);
}

std::string activations(const ReportInput& input) {
  if (input.largest_activations.empty()) return "";
  std::string out = soft(
      "Inputs that a few channels drive to large values are what makes a layer hard to quantize.");
  out += "<table><thead><tr><th>input channel</th><th>root mean square</th></tr></thead><tbody>\n";
  for (const auto& [channel, value] : input.largest_activations) {
    out += "<tr><td>" + escaped(channel) + "</td><td>" + figure(value) + "</td></tr>\n";
  }
  return section("Channels with the largest activations", wide(out + "</tbody></table>"));
}

std::string facts(const std::string& title, const ReportFacts& facts) {
  if (facts.empty()) return "";
  std::string out = "<dl>\n";
  for (const auto& [name, value] : facts) {
    out += "<dt>" + escaped(name) + "</dt><dd>" + escaped(value) + "</dd>\n";
  }
  return section(title, out + "</dl>");
}

std::string commands(const ReportInput& input) {
  std::string out;
  for (const ReportCommand& command : input.commands) {
    out += soft(command.purpose) + "<pre>" + escaped(command.command) + "</pre>\n";
  }
  return out.empty() ? "" : section("To reproduce it", out);
}

std::string notes(const ReportInput& input) {
  std::string out;
  for (const std::string& note : input.notes) out += "<li>" + escaped(note) + "</li>\n";
  return out.empty() ? "" : section("Notes", "<ul>\n" + out + "</ul>");
}

}  // namespace

std::string report_verdict(const std::vector<ReportRow>& rows) {
  const ReportRow* best = best_of(rows);
  if (!best) return "";
  const ReportRow* base = base_of(rows);
  std::vector<std::string> parts;
  if (const auto change = size_change(*best, base)) parts.push_back("is " + *change);
  if (const auto change = perplexity_change(*best, base)) {
    parts.push_back(fmt::format("changes perplexity by {}", signed_percent(*change)));
  }
  if (best->top1_agreement) {
    parts.push_back(fmt::format("predicts the same next token in {} of places",
                                percent(*best->top1_agreement)));
  }
  if (parts.empty()) return "";
  std::string verdict = best->label;
  for (size_t i = 0; i < parts.size(); ++i) {
    verdict += (i == 0 ? " " : i + 1 == parts.size() ? " and " : ", ") + parts[i];
  }
  verdict += ".";
  const ReportRow* worst = nullptr;
  for (const ReportRow& row : rows) {
    if (!row.base && row.kl && (!worst || *row.kl > *worst->kl)) worst = &row;
  }
  if (best->kl && worst && worst != best && *best->kl > 0 && !worst->label.empty()) {
    std::string label = worst->label;
    if (label[0] >= 'a' && label[0] <= 'z') label[0] = static_cast<char>(label[0] - 'a' + 'A');
    verdict += fmt::format(" {} loses {:.1f} × as much (KL {} against {}).", label,
                           *worst->kl / *best->kl, figure(*worst->kl), figure(*best->kl));
  }
  return verdict;
}

std::string render_report(const ReportInput& input) {
  const std::string verdict = input.verdict.empty() ? report_verdict(input.rows) : input.verdict;
  std::string page = "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\"/>\n";
  page += "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\n";
  page += "<title>" + escaped(input.title) + "</title>\n<style>" +
          std::string(report::style_sheet()) + "</style>\n";
  page +=
      "</head>\n<body>\n<header>\n<h1>" + escaped(input.title) + "</h1>\n" + soft(input.subtitle);
  if (!verdict.empty()) page += "<p class=\"verdict\">" + escaped(verdict) + "</p>\n";
  page += tiles(input.rows) + "</header>\n";
  page += comparison(input) + samples(input) + modules(input) + activations(input);
  page += facts("Settings", input.settings) + facts("Machine", input.machine) +
          facts("Hashes", input.hashes);
  page += commands(input) + notes(input);
  if (!input.program.empty()) page += "<footer>" + escaped(input.program) + "</footer>\n";
  return page + "</body>\n</html>\n";
}

}  // namespace halftone
