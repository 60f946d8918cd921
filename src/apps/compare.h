// One table of what methods, widths and calibrations cost the same model: every cell is a whole
// quantization, written, verified and measured by the same protocol.
#pragma once

#include <string>
#include <vector>

#include "apps/evaluate.h"
#include "apps/quantize.h"
#include "apps/report.h"

namespace halftone {

struct CompareOptions {
  // Every combination of these is a cell; what a method does not look at is left out of its cells,
  // and those that come to the same are one.
  std::vector<std::string> methods = {"rtn", "gptq"};
  std::vector<int> bits = {4};
  std::vector<int64_t> group_sizes = {128};
  std::vector<std::string> gguf_types;   // mixes: in place of bits and groups; empty: as they say
  std::vector<std::string> calibration;  // files, one a cell; empty: the fetched text
  std::vector<int64_t> samples = {128};
  std::vector<std::string> dynamic;  // files of rules: a cell each, beside that without rules

  // All else, the same for all cells, of which each takes what its method looks at.
  QuantizeOptions quantize;
  std::string text;  // to measure on
  EvaluateOptions evaluate;
  // Keeps the models of the cells, and is gone on from when it holds some or what a stopped
  // comparison left; empty: each is deleted once measured.
  std::string directory;
};

// A row of the table.
struct CompareRow {
  std::string method, calibration, dynamic;  // the files' names; empty: none
  std::string gguf_type;                     // the mix; empty: another format
  int bits = 0;                              // of most weights
  int64_t group_size = 0, samples = 0;       // samples 0: none were looked at
  // The steps that were taken; empty: none.
  std::string scale_search, order, token_weights, calib_inputs;
  Evaluation evaluation;
  // Of the quantization, as it would take by itself, what was shared included; 0: the model was
  // there already.
  double seconds = 0;
  int64_t peak_memory_bytes = 0;  // of the quantization
};

struct Comparison {
  Evaluation base;  // of the model itself: perplexity, size, bits
  std::vector<CompareRow> rows;
  std::vector<std::string> notes;
};

// All cells are planned before the first runs. Throws Error: what quantize() and evaluate() throw;
// Error(usage) and Error(bad_input) for a directory that cannot be one.
Comparison compare(Backend& backend, const OpenedModel& model, const CompareOptions& options);

std::string compare_table(const Comparison& comparison);
Json to_json(const Comparison& comparison);
// The page with the table and the plot of loss against size.
void write_compare_report(const Backend& backend, const OpenedModel& model,
                          const CompareOptions& options, const Comparison& comparison,
                          const std::string& path);

}  // namespace halftone
