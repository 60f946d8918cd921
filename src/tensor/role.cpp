#include "tensor/role.h"

#include <cassert>

namespace halftone {

std::string_view name_of(Role role) {
  switch (role) {
    case Role::embed:
      return "embed";
    case Role::attn_norm:
      return "attn_norm";
    case Role::q:
      return "q";
    case Role::k:
      return "k";
    case Role::v:
      return "v";
    case Role::q_norm:
      return "q_norm";
    case Role::k_norm:
      return "k_norm";
    case Role::o:
      return "o";
    case Role::post_attn_norm:
      return "post_attn_norm";
    case Role::mlp_norm:
      return "mlp_norm";
    case Role::gate:
      return "gate";
    case Role::up:
      return "up";
    case Role::down:
      return "down";
    case Role::post_mlp_norm:
      return "post_mlp_norm";
    case Role::final_norm:
      return "final_norm";
    case Role::head:
      return "head";
  }
  assert(false);
  return "";
}

bool is_linear(Role role) { return shard_axis(role) != ShardAxis::none && is_per_layer(role); }

bool is_per_layer(Role role) {
  return role != Role::embed && role != Role::final_norm && role != Role::head;
}

ShardAxis shard_axis(Role role) {
  switch (role) {
    case Role::q:
    case Role::k:
    case Role::v:
    case Role::gate:
    case Role::up:
    case Role::embed:
    case Role::head:
      return ShardAxis::outputs;  // embed, head: the vocabulary
    case Role::o:
    case Role::down:
      return ShardAxis::inputs;
    default:
      return ShardAxis::none;
  }
}

std::string_view name_of(Stage stage) {
  switch (stage) {
    case Stage::attn_in:
      return "attn_in";
    case Stage::attn_out:
      return "attn_out";
    case Stage::mlp_in:
      return "mlp_in";
    case Stage::mlp_out:
      return "mlp_out";
    case Stage::head:
      return "head";
  }
  assert(false);
  return "";
}

Stage stage_of(Role role) {
  assert(is_linear(role) || role == Role::head);
  switch (role) {
    case Role::head:
      return Stage::head;
    case Role::q:
    case Role::k:
    case Role::v:
      return Stage::attn_in;
    case Role::o:
      return Stage::attn_out;
    case Role::gate:
    case Role::up:
      return Stage::mlp_in;
    default:
      return Stage::mlp_out;
  }
}

}  // namespace halftone
