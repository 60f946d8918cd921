// A decoder's hyperparameters, read from config.json's keys (or GGUF's, which io turns into them),
// with every value checked.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "backend/backend.h"
#include "io/metadata.h"
#include "tensor/role.h"

namespace halftone {

enum class RopeScaling : uint8_t { none, linear, llama3, yarn };
struct RopeConfig {
  double theta = 10000;
  RopeScaling scaling = RopeScaling::none;
  double factor = 1;                                 // all but none
  double low_freq_factor = 1, high_freq_factor = 4;  // llama3
  int64_t original_positions = 0;                    // llama3, yarn
  double beta_fast = 32, beta_slow = 1;              // yarn
  double attention_factor = 1;                       // yarn: multiplies cos and sin
  bool truncate = true;                              // yarn: whole dimensions bound the ramp
  std::vector<double> factors = {};  // divisors of each frequency (GGUF's rope_freqs); empty: none
};

struct ModelConfig {
  std::string model_type;  // "qwen2"
  int64_t hidden = 0, layers = 0, heads = 0, kv_heads = 0, head_dim = 0, intermediate = 0,
          vocab = 0;
  int64_t max_positions = 0;
  NormSpec norm;
  Activation activation = Activation::silu;
  RopeConfig rope;          // of layers that see everything
  RopeConfig local_rope;    // of layers with a window, where the family has two (gemma3)
  std::vector<int> window;  // (layers): 0 = all positions
  double embed_scale = 1;   // of the embeddings
  double attn_scale = 0;    // of q·k
  double attn_softcap = 0, final_softcap = 0;
  bool tied_embeddings = false;
  std::optional<bool> attention_bias, mlp_bias;  // where the configuration says
  std::vector<int32_t> eos;                      // where generation stops
  int64_t parameters() const;                    // of the dense model, tied head counted once

  // (rows, cols) of a tensor, a vector being (1, n).
  std::pair<int64_t, int64_t> shape(const TensorKey& key) const;
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
