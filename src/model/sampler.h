// Logits to the next id.
#pragma once

#include <cstdint>
#include <span>

#include "base/rng.h"

namespace halftone {

struct SamplerOptions {
  double temperature = 0;  // 0: the largest logit, ties to the lower id
  uint64_t seed = 0;
};

class Sampler {
 public:
  explicit Sampler(const SamplerOptions& options);
  int32_t sample(std::span<const float> logits);

 private:
  SamplerOptions options_;
  Rng rng_;
};

}  // namespace halftone
