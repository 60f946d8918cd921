// What a tensor is for in a decoder, whatever its family calls it.
#pragma once

#include <compare>
#include <cstdint>
#include <string_view>

namespace halftone {

enum class Role : uint8_t {
  embed,      // (vocab, hidden)
  attn_norm,  // (1, hidden)
  q,
  k,
  v,  // (heads·head_dim, hidden), (kv_heads·head_dim, hidden) twice
  q_norm,
  k_norm,          // (1, head_dim)
  o,               // (hidden, heads·head_dim)
  post_attn_norm,  // (1, hidden), on attention's output before it joins the residual (gemma)
  mlp_norm,        // (1, hidden)
  gate,
  up,             // (intermediate, hidden)
  down,           // (hidden, intermediate)
  post_mlp_norm,  // (1, hidden)
  final_norm,     // (1, hidden)
  head            // (vocab, hidden); absent when tied to embed
};

// A linear's weight, or its bias (1, out).
enum class Part : uint8_t { weight, bias };

std::string_view name_of(Role role);
bool is_linear(Role role);     // q k v o gate up down: what quantize works on by default
bool is_per_layer(Role role);  // false: embed, final_norm, head

// How a linear is cut over several devices: by its outputs (column parallel) or inputs (row
// parallel).
enum class ShardAxis : uint8_t { none, outputs, inputs };
ShardAxis shard_axis(Role role);

// Names one tensor of a model. expert is -1 in dense models; layer is -1 outside the blocks.
struct TensorKey {
  int layer = -1;
  Role role = Role::embed;
  Part part = Part::weight;
  int expert = -1;
  auto operator<=>(const TensorKey&) const = default;
};

// The four places of a block where a group of linears takes its input, and the one behind the
// blocks.
enum class Stage : uint8_t {
  attn_in,   // q, k, v
  attn_out,  // o
  mlp_in,    // gate, up
  mlp_out,   // down
  head       // in no layer: what the final norm makes
};
inline constexpr int kStages = 4;  // of a block
std::string_view name_of(Stage stage);
Stage stage_of(Role role);  // of a linear, or the head

struct StageId {
  int layer = 0;
  Stage stage = Stage::attn_in;
  int expert = -1;
  auto operator<=>(const StageId&) const = default;
};
inline constexpr StageId kHeadStage{.layer = -1, .stage = Stage::head};

}  // namespace halftone
