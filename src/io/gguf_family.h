// What is particular to a family in a GGUF, one row each. Which families these are is for the table
// of families to say: ArchSpec::gguf (model/arch_table.h) names a row of this one.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "io/gguf.h"

namespace halftone {

// A tensor's name in llama.cpp and in Hugging Face's checkpoints, without layer and ".weight".
struct GgufName {
  std::string_view gguf, hugging_face;
};

struct GgufFamily {
  std::string_view architecture;            // general.architecture: "gemma3"
  std::string_view model_type, class_name;  // of config.json
  std::span<const GgufName> norms;          // about attention and MLP: other tensors are alike
  // Neighbouring elements of a head are rotated, so rows of q and k are interleaved in the file.
  bool interleaved = false;
  float gain_offset = 0;  // that the file's gains of norms have more
  // Every so many-th layer sees all positions, the others a window, where the file does not say
  // which; 0: all see all. What comes with windows in gemma3: a rope of their own, soft caps, a
  // scale of q·k, which is of the head's width but in the model of `odd_layers` layers.
  int window_pattern = 0;
  int64_t odd_layers = 0;
  bool windows() const { return window_pattern > 0; }
  bool denies_windows = false;  // config.json says that there are none
  // Whether these stand in the file, config.json says.
  bool attention_bias = false, mlp_bias = false;
  bool counts_tokens = false;  // vocab_size and rope.dimension_count are keys
};

std::span<const GgufFamily> gguf_families();
const GgufFamily* find_gguf_family(std::string_view architecture);  // null: none of ours
// Throws Error(bad_input), lists the known.
const GgufFamily& gguf_family_of(const GgufFile& file);

}  // namespace halftone
