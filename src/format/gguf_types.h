// llama.cpp's named mixes of types ("Q4_K_M"), as its users know them, and which type stands in
// where a row's length does not divide into blocks.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "tensor/role.h"

namespace halftone {

// Where more bits go than to the rest.
enum class MixKind : uint8_t {
  pure,   // nowhere but to the head
  small,  // to v and down of the first layers
  medium  // to v and down of the first and last eighth of the layers, and every third between
};

struct GgufMix {
  std::string_view name;  // "Q4_K_M"
  std::string_view type;  // of most matrices
  uint32_t file_type;     // general.file_type
  MixKind kind = MixKind::pure;
  std::string_view more = {};  // the type with more bits
};

std::span<const GgufMix> gguf_mixes();
// By its name in any case, "Q4_K" and "Q5_K" being their M mixes. Throws Error(usage), lists them.
const GgufMix& find_gguf_mix(std::string_view name);
// The mix that is this one type everywhere; throws Error(usage) for a type without one.
std::string_view check_gguf_type(std::string_view option, std::string_view name);

// A matrix of a model, as far as a mix cares.
struct GgufPlace {
  Role role = Role::q;
  int layer = -1, layers = 0;
  bool tied = false;          // the embedding is the head, too
  int64_t heads_per_key = 1;  // that share one head of keys and values
};
// As llama.cpp's quantizer has it for dense models (llama_tensor_get_type); but the IQ4 types are
// the same everywhere, as with its --pure.
std::string_view gguf_type(const GgufMix& mix, const GgufPlace& place);
// `type` where its blocks divide `cols`, else what llama.cpp puts in its place: another type with
// blocks of 32, at last F16.
std::string_view gguf_type_for_row(std::string_view type, int64_t cols);

bool is_dense_ggml(std::string_view type);  // F32, F16, BF16

}  // namespace halftone
