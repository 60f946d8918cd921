// The element types of safetensors, those that we only carry included.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

namespace halftone {

// Bits an element of "BF16", "F8_E4M3", …; nothing: not a type of the format.
std::optional<uint64_t> safetensors_bits(std::string_view type);

// Bytes of a tensor, checked; nothing: overflows, negative, or not a whole number of bytes.
std::optional<uint64_t> safetensors_bytes(uint64_t bits, const std::vector<int64_t>& shape);

}  // namespace halftone
