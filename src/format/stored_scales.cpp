#include "format/stored_scales.h"

#include <cassert>
#include <cstring>

#include "base/half.h"

namespace halftone {

std::string_view safetensors_name(ScaleStore store) {
  return store == ScaleStore::f32 ? "F32" : store == ScaleStore::f16 ? "F16" : "BF16";
}

std::optional<ScaleStore> scale_store_of(std::string_view safetensors_type) {
  for (const ScaleStore store : {ScaleStore::f32, ScaleStore::f16, ScaleStore::bf16})
    if (safetensors_name(store) == safetensors_type) return store;
  return std::nullopt;
}

float load_scale(const std::byte* scales, int64_t at, ScaleStore store) {
  if (store == ScaleStore::f32) {
    float value;
    std::memcpy(&value, scales + 4 * at, sizeof(value));
    return value;
  }
  uint16_t half;
  std::memcpy(&half, scales + 2 * at, sizeof(half));
  return store == ScaleStore::f16 ? to_float(f16{half}) : to_float(bf16{half});
}

void store_scale(float scale, ScaleStore store, std::byte* scales, int64_t at) {
  assert(round_to(store, scale) == scale);
  if (store == ScaleStore::f32) {
    std::memcpy(scales + 4 * at, &scale, sizeof(scale));
    return;
  }
  const uint16_t half = store == ScaleStore::f16 ? to_f16(scale).bits : to_bf16(scale).bits;
  std::memcpy(scales + 2 * at, &half, sizeof(half));
}

}  // namespace halftone
