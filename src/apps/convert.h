// A model rewritten as dense safetensors, or its codes and scales in another format as they are.
#pragma once

#include <cstdint>
#include <string>

#include "apps/gguf_plan.h"
#include "apps/open_model.h"
#include "format/format.h"

namespace halftone {

struct ConvertOptions {
  std::string output;
  std::string format = "safetensors";  // dense; or a name of the table of formats
  std::string dtype = "auto";   // of dense tensors: bf16, f16, f32; auto: as they are stored, bf16
                                // from codes and from a GGUF
  GgufOptions gguf;             // of --format gguf: types, where not what the model has
  bool requantize = false;      // round again, to nearest, what the format cannot hold as it is
  int64_t max_shard_bytes = 0;  // 0: the format's own
  int threads = 0;              // 0: all that this process may use
  bool force = false;
};

struct ConvertOutcome {
  int64_t bytes = 0;     // of the weight files
  int64_t repacked = 0;  // matrices with the codes and scales that they had
  int64_t requantized = 0;
  int64_t rounded = 0;             // dense ones, to nearest
  std::vector<std::string> notes;  // types that rows did not fit
  // Dense values that are NaN or infinite and were written as they are, by the first of each
  // tensor: "model.norm.weight: NaN at [0, 7]". Empty: none.
  std::string not_finite;
  std::vector<ReaderVerdict> readers;
};

// Throws Error(usage) when OUT exists, or when the format cannot hold what the model has and
// requantize is not set; Error(bad_input) when a value does not fit the type.
ConvertOutcome convert(const OpenedModel& model, const ConvertOptions& options);

}  // namespace halftone
