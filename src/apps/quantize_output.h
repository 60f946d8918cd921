// The output directory of a quantization: weights, configuration, tokenizer, model card, and the
// file that reproduces the run. Written under a temporary name, read back, compared, then
// published.
#pragma once

#include <string>

#include "apps/quantize.h"
#include "io/journal.h"

namespace halftone {

struct OutputInput {
  const OpenedModel& model;
  const Journal& journal;  // holds every finished stage
  const QuantizeOptions& options;
  const QuantizeOutcome& outcome;  // plan, loss, hashes: what the card says
  Backend& backend;                // its host's threads pack; its host's limit holds
};

// Fills `directory`, which exists. Returns the bytes of the weight files.
int64_t write_output(const OutputInput& input, const std::string& directory);

// Reopens `directory`, compares every code, scale and zero with the journal's, and runs a forward
// over `ids` whose logits must be finite. Throws Error(bug) when something differs.
void verify_output(const OutputInput& input, const std::string& directory,
                   std::span<const int32_t> ids, DType compute);

// README.md and quantize.toml of the output.
std::string model_card(const OutputInput& input);
std::string reproduction_config(const QuantizeOptions& options, const std::string& model);
// The calibration files that quantize.toml of a directory names; none when there is no such file.
std::vector<std::string> calibration_files_of(const std::string& directory);

}  // namespace halftone
