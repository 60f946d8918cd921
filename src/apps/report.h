// The report of a quantization or a comparison: one self-contained HTML file with inline SVG and no
// scripts, which reads on a phone, in the dark and on paper. It only draws what it is given: a part
// without data is left out. All text is escaped.
//
//   ReportInput input;
//   input.title = "SmolLM2-135M-Instruct in 4 bits";
//   input.rows = {original, rtn, gptq};
//   write_file("report.html", render_report(input));
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace halftone {

// One model of the comparison.
struct ReportRow {
  std::string label = {};           // "original", "GPTQ"
  std::string detail = {};          // "4 bits, groups of 64, symmetric"
  std::string series = {};          // "gptq": points of the plot of loss against size; or empty
  bool base = false;                // what the others are measured against
  int64_t bytes = 0;                // weight files; 0: not known
  double bits_per_weight = 0;       // of the quantized linears; 0: not known
  double bits_per_weight_file = 0;  // of the whole file; 0: not known
  std::optional<double> perplexity = {}, perplexity_stderr = {};
  std::optional<double> kl = {}, kl_stderr = {}, kl_p50 = {},
                        kl_p99 = {};          // to the base, nats a token
  std::optional<double> top1_agreement = {};  // 0 … 1
};

// One quantized linear.
struct ReportModule {
  int layer = 0;
  std::string role = {};       // a row of the heat map: "q", "k", "v", "o", "gate", …
  std::string name = {};       // "model.layers.0.self_attn.q_proj"
  int64_t rows = 0, cols = 0;  // (out, in)
  double relative_error = 0;   // tr(Δ H Δᵀ) / tr(W H Wᵀ)
  double damping = 0;
  std::string note = {};  // "damping raised to 0.04", or empty
};

// What the models wrote after the same prompt.
struct ReportSample {
  std::string prompt = {};
  std::vector<std::pair<std::string, std::string>> answers;  // label, text
};

// A command of the program, and what it is for.
struct ReportCommand {
  std::string purpose, command;
};

using ReportFacts = std::vector<std::pair<std::string, std::string>>;  // name, value

struct ReportInput {
  std::string title;        // "SmolLM2-135M-Instruct in 4 bits"
  std::string subtitle;     // "llama, 30 layers, 134.5 M parameters"
  std::string verdict;      // one sentence; empty: made from the rows
  std::string measured_on;  // "hf protocol: 12 windows of 2,048 of wikitext2-test.txt, …"
  std::vector<ReportRow> rows;
  std::vector<ReportModule> modules;  // in any order
  std::vector<std::pair<std::string, double>>
      largest_activations;  // "layers.3.mlp.down_proj[412]", root mean square of that input
  std::vector<ReportSample> samples;
  ReportFacts settings, machine, hashes;
  std::vector<ReportCommand> commands;  // that reproduce it
  std::vector<std::string> notes;
  std::string program;  // "halftone 0.1.0 (commit)"
};

std::string render_report(const ReportInput& input);

// "The last row loses KL 0.0151 …": the sentence that an empty verdict becomes; empty without rows.
std::string report_verdict(const std::vector<ReportRow>& rows);

}  // namespace halftone
