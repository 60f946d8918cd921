// Codes of 1 to 8 bits without gaps, least significant first, as every packed checkpoint format has
// them: eight codes fill `bits` bytes at any width, and code j begins at bit j·bits.
#pragma once

#include <cstddef>
#include <cstdint>

namespace halftone {

// Bytes of whole 32-bit words that hold `count` codes.
constexpr int64_t packed_bytes(int64_t count, int bits) { return (count * bits + 31) / 32 * 4; }

// out, packed_bytes(count, bits) bytes := codes, one a byte and below 2^bits; what is left of the
// last word is zero.
void pack_codes(const uint8_t* codes, int64_t count, int bits, std::byte* out);
// The inverse: reads packed_bytes(count, bits) bytes at most.
void unpack_codes(const std::byte* packed, int64_t count, int bits, uint8_t* codes);

// Code `at` alone; reads within its bytes.
uint8_t packed_code(const std::byte* packed, int64_t at, int bits);

}  // namespace halftone
