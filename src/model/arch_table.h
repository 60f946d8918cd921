// Families are data: one entry each, iterated by loader, GGUF names and tests. docs/adding-a-family.md
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "backend/backend.h"
#include "tensor/role.h"

namespace halftone {

enum class Wiring : uint8_t { sequential, parallel };   // parallel: attention and MLP read the same norm

// A contiguous share of a fused tensor's rows: part `index` of the list that `of` names, cut in
// proportion to the roles' own row counts (phi3's qkv_proj = q, k, v).
struct Slice {
  uint8_t index = 0, of = 1;
};

// One tensor name of a family. "{}" stands for the layer.
struct TensorRule {
  Role role;
  std::string_view name;           // without ".weight"/".bias"
  Slice slice{};
  bool optional = false;           // the weight may be absent (a tied head)
  bool bias = false;               // a ".bias" belongs to it
  bool optional_bias = false;      // a ".bias" may belong to it
};

struct ArchSpec {
  std::string_view model_type;
  std::span<const TensorRule> tensors;
  NormKind norm = NormKind::rms;
  float gain_offset = 0;           // gemma stores gain − 1
  Activation activation = Activation::silu;   // when the configuration does not say
  Wiring wiring = Wiring::sequential;
  bool embed_scaled = false;       // by sqrt(hidden) (gemma)
  bool tied_by_default = false;
  int default_window_pattern = 0;  // every n-th layer sees all positions (gemma3: 6); 0: config decides
  std::string_view example;        // a public model, for `--help` and errors
};

std::span<const ArchSpec> architectures();
const ArchSpec* find_architecture(std::string_view model_type);   // nullptr: unknown

// "model.layers.3.self_attn.q_proj.weight"; nothing when the family has no such tensor.
std::optional<std::string> tensor_name(const ArchSpec& arch, const TensorKey& key);

}  // namespace halftone
