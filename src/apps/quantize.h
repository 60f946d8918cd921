// calibrate → quantize → pack → write → verify, with a journal (design §3, "a weight's way").
#pragma once

#include "apps/plan.h"
#include "base/json.h"
#include "base/profile.h"

namespace halftone {

// What came out, for the screen, --json, the model card and the report.
struct ModuleOutcome {
  std::string module;
  int64_t rows = 0, cols = 0;
  SolveReport report;
  double seconds = 0;
};

struct QuantizeOutcome {
  std::vector<ModuleOutcome> modules;
  int64_t samples = 0, held_out = 0, seq_len = 0;
  std::string calibration_sha256;
  double kl_mean = 0, kl_stderr = 0;        // on held-out calibration windows
  int64_t kl_tokens = 0;
  int64_t output_bytes = 0;
  double bits_per_weight_linears = 0, bits_per_weight_file = 0;
  double seconds = 0;
  int64_t peak_memory_bytes = 0;
  std::vector<std::pair<std::string, double>> largest_activations;  // "layers.3.mlp.down_proj[412]", max |x|
};

QuantizeOutcome quantize(Backend& backend, const OpenedModel& model, const QuantizeOptions& options,
                         Profile* profile = nullptr);
Json to_json(const QuantizeOutcome& outcome);

}  // namespace halftone
