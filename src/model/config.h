// A decoder's hyperparameters, read from config.json's keys (or GGUF's, which io turns into them), with
// every value checked.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "backend/backend.h"
#include "io/metadata.h"

namespace halftone {

enum class RopeScaling : uint8_t { none, linear, llama3, yarn };
struct RopeConfig {
  double theta = 10000;
  RopeScaling scaling = RopeScaling::none;
  double factor = 1, low_freq_factor = 1, high_freq_factor = 4;   // linear, llama3
  int64_t original_positions = 0;
  double beta_fast = 32, beta_slow = 1, attention_factor = 0;     // yarn; 0: derived
  std::vector<double> factors;   // per frequency divisors (GGUF's rope_freqs); empty: none
};

struct ModelConfig {
  std::string model_type;          // "qwen2"
  int64_t hidden = 0, layers = 0, heads = 0, kv_heads = 0, head_dim = 0, intermediate = 0, vocab = 0;
  int64_t max_positions = 0;
  NormSpec norm;
  Activation activation = Activation::silu;
  RopeConfig rope;                 // of layers that see everything
  RopeConfig local_rope;           // of layers with a window, where the family has two (gemma3)
  std::vector<int> window;         // (layers): 0 = all positions
  double embed_scale = 1, attn_scale = 0;
  double attn_softcap = 0, final_softcap = 0;
  bool tied_embeddings = false;
  std::vector<int32_t> eos;        // where generation stops
  int64_t parameters() const;      // of the dense model, tied head counted once
};

// Throws Error(bad_input) for an unknown family (lists the known), values that are missing, zero,
// negative, absurd or inconsistent (each named with what it must agree with).
ModelConfig read_config(const Metadata& metadata);

// (rotated/2) inverse frequencies of a layer, scaling applied, and the magnitude for RopeSpec.
struct RopeTable {
  std::vector<float> frequencies;
  float magnitude = 1;
};
RopeTable rope_table(const RopeConfig& rope, int64_t head_dim);

}  // namespace halftone
