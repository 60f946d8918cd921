// Text from a prompt, token by token over a key-value cache.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "apps/open_model.h"
#include "model/sampler.h"

namespace halftone {

struct GenerateOptions {
  int64_t tokens = 128;
  SamplerOptions sampler;
  std::string dtype = "auto";
  bool quiet = false;  // no progress while the model is loaded
};

struct Generation {
  std::string text;  // without the prompt
  int64_t prompt_tokens = 0, tokens = 0;
  double prompt_seconds = 0, seconds = 0;
  bool stopped = false;  // by the model, with an end-of-sequence token
};

// `on_text` gets whole characters as they come. Throws Error(usage) for an empty prompt or one that
// does not fit the model's positions.
Generation generate(Backend& backend, const OpenedModel& model, const std::string& prompt,
                    const GenerateOptions& options,
                    const std::function<void(const std::string&)>& on_text);

}  // namespace halftone
