// The output directory of a quantization: weights, configuration, tokenizer, model card, and the
// file that reproduces the run. Written under a temporary name, run, then published.
#pragma once

#include <string>

#include "apps/output_stream.h"
#include "apps/quantize.h"

namespace halftone {

struct OutputInput {
  const OpenedModel& model;
  const QuantizeOptions& options;
  const QuantizeOutcome& outcome;  // plan, loss, hashes: what the card says
  Backend& backend;
};

// Fills `directory` with all but the weights, which `weights` has written there and compared.
// Returns the bytes of the weight files. Throws Error(bug) when one of them differed.
int64_t write_output(const OutputInput& input, OutputStream& weights, const std::string& directory);

// README.md and quantize.toml of the output.
std::string model_card(const OutputInput& input);
std::string reproduction_config(const QuantizeOptions& options, const OpenedModel& model);
// The calibration files that quantize.toml of a directory names; none when there is no such file.
std::vector<std::string> calibration_files_of(const std::string& directory);

}  // namespace halftone
