// Scales as they lie in a file, at any address.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

#include "tensor/quantized.h"

namespace halftone {

constexpr int64_t bytes_of(ScaleStore store) { return store == ScaleStore::f32 ? 4 : 2; }
std::string_view safetensors_name(ScaleStore store);  // "F16"
std::optional<ScaleStore> scale_store_of(std::string_view safetensors_type);

float load_scale(const std::byte* scales, int64_t at, ScaleStore store);
// `scale` is a value of the type.
void store_scale(float scale, ScaleStore store, std::byte* scales, int64_t at);

}  // namespace halftone
