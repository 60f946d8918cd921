// What a quantization will do, made before anything runs: one row a linear. Dry run, quantizer,
// journal, configuration writer and report read the same plan.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "apps/gguf_plan.h"
#include "apps/open_model.h"
#include "format/format.h"
#include "quant/method.h"

namespace halftone {

struct PlanRow {
  TensorKey key;
  std::string module;  // "model.layers.0.self_attn.q_proj"
  int64_t rows = 0, cols = 0;
  std::string method;  // "gptq"; empty when skipped
  Grid grid;
  std::string skip_reason;  // "--skip lm_head", empty when quantized
};

struct QuantizeOptions {
  std::string output;
  std::string method = "gptq", recipe = "fast", format = "gptq", device = "auto", dtype = "auto";
  int bits = 4;
  int64_t group_size = 128;
  bool symmetric = true;
  std::vector<std::string> skip;         // PCRE, anchored nowhere
  std::vector<std::string> dynamic;      // rules of single modules, or files of them
  std::vector<std::string> calibration;  // files
  int64_t samples = 128, seq_len = 2048;
  std::string sequences = "packed";  // windows of seq_len; "whole": a document each, cut at seq_len
  bool samples_given = false;
  uint64_t seed = 0;
  double damping = 0.01;
  std::string order, token_weights, calib_inputs, scale_search;  // empty: the recipe's
  bool scales_only = false;     // the method's transform alone: a dense model
  bool lm_head = false;         // the head is quantized, too
  int64_t max_memory = 0;       // bytes of the device that computes, 0: no limit of ours
  int64_t max_host_memory = 0;  // bytes of the host, where they are not the same
  int64_t max_shard_bytes = 0;  // of a weight file, 0: the format's own limit
  GgufOptions gguf;             // of --format gguf
  bool resume = false, force = false, quiet = false;
  bool offers_resume = false;   // whoever calls has --resume: errors may name it
  std::string program_version;  // part of the journal's fingerprint
};

struct Plan {
  std::vector<PlanRow> rows;  // in the order of quantizing
  const Method* method = nullptr;
  const Format* format = nullptr;
  bool dense = false;  // the output is the transformed model before it is rounded: --scales-only
  SolverOptions solver;
  // Of a GGUF: embedding and head, what replaces types that rows do not fit, and the whole's name.
  std::vector<PlannedModule> tables;
  std::vector<std::string> notes;
  const GgufMix* mix = nullptr;
  int64_t output_bytes = 0;  // weight files, their headers by a rough allowance
  bool in_parts = false;     // --max-shard-size makes more than one of them
  double bits_per_weight_linears = 0, bits_per_weight_file = 0;  // as ModelSize's
  std::string text() const;               // canonical: part of the journal's fingerprint
  bool weighs_tokens(Stage stage) const;  // linears behind a norm of the residual: TokenWeights
  std::vector<PlannedModule> modules() const;  // without the tables
  std::vector<ReaderVerdict> readers() const;  // who opens the output; of a dense one nobody asks
  QuantizationSummary summary() const;         // for the output's configuration
  Grid main_grid() const { return halftone::main_grid(modules()); }
  std::string grid_text() const;  // "4 bits, groups of 128, symmetric", and how many differ
};

// All of a grid, for fingerprints.
std::string canonical_text(const Grid& grid);

// Puts what recipe, method and format choose where options leave it open: order, token weights,
// calibration inputs, scale search. Throws Error(usage) for names that are not known.
void choose_steps(QuantizeOptions& options);

// What a tensor that is not quantized takes in the output: its own bytes, or from a GGUF those of
// dense_type().
int64_t dense_output_bytes(const OpenedModel& model, const TensorKey& key);

// Throws Error(usage) for a grid that does not fit and when nothing would be quantized,
// Error(bad_input) for a model that is quantized. With options.lm_head the model was opened with a
// head of its own.
Plan make_plan(const OpenedModel& model, const QuantizeOptions& options);

// What quantizing the head changes in the file, for people; empty where it stays as it is.
std::string head_text(const OpenedModel& model, const Plan& plan);

// What a stage quantizes, in order; the head's is kHeadStage.
std::vector<const PlanRow*> rows_of(const Plan& plan, const StageId& id);

// What is allowed but looks like a mistake.
std::vector<std::string> warnings_of(const OpenedModel& model, const Plan& plan,
                                     const QuantizeOptions& options);

}  // namespace halftone
