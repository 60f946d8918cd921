// Llama 3's rotary scaling, which GGUF stores as a tensor of divisors (rope_freqs.weight) and
// Hugging Face as four parameters.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace halftone {

struct Llama3Scaling {
  double factor = 8, low_freq_factor = 1, high_freq_factor = 4;
  int64_t original_positions = 8192;
};

// The divisor of each of head_dim/2 frequencies theta^(−2i/head_dim).
std::vector<double> llama3_divisors(const Llama3Scaling& scaling, double theta, int64_t head_dim);

// The parameters whose divisors these are, to f32's precision, among those that published models
// use; nothing when there are none.
std::optional<Llama3Scaling> recover_llama3(std::span<const float> divisors, double theta);

}  // namespace halftone
