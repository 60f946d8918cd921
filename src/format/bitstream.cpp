// Eight codes at a time, squeezed together and spread apart within a 64-bit word.
#include "format/bitstream.h"

#include <algorithm>
#include <bit>
#include <cassert>
#include <cstring>

namespace halftone {
namespace {

static_assert(std::endian::native == std::endian::little, "codes are moved as whole words");

// Fields of `width` ones, one at the low end of every `lane` bits.
constexpr uint64_t lanes(int width, int lane) {
  uint64_t mask = 0;
  const uint64_t ones = width == 64 ? ~uint64_t{0} : (uint64_t{1} << width) - 1;
  for (int at = 0; at < 64; at += lane) mask |= ones << at;
  return mask;
}

// Fields of `width` bits, one in each lane, moved together in pairs: one in each two lanes. And
// back.
template <int width, int lane>
uint64_t join_pairs(uint64_t fields) {
  constexpr uint64_t kLow = lanes(width, 2 * lane);
  return (fields & kLow) | (fields >> (lane - width) & kLow << width);
}
template <int width, int lane>
uint64_t part_pairs(uint64_t fields) {
  constexpr uint64_t kLow = lanes(width, 2 * lane);
  return (fields & kLow) | (fields & kLow << width) << (lane - width);
}

// Eight bytes below 2^bits → 8·bits bits.
template <int bits>
uint64_t squeeze(uint64_t bytes) {
  return join_pairs<4 * bits, 32>(join_pairs<2 * bits, 16>(join_pairs<bits, 8>(bytes)));
}

template <int bits>
uint64_t spread(uint64_t packed) {
  return part_pairs<bits, 8>(part_pairs<2 * bits, 16>(part_pairs<4 * bits, 32>(packed)));
}

template <int bits>
void pack(const uint8_t* codes, int64_t count, std::byte* out) {
  const int64_t whole = count / 8;
  for (int64_t i = 0; i < whole; ++i) {
    uint64_t bytes;
    std::memcpy(&bytes, codes + 8 * i, 8);
    const uint64_t packed = squeeze<bits>(bytes);
    std::memcpy(out + bits * i, &packed, bits);
  }
  uint64_t bytes = 0;
  std::memcpy(&bytes, codes + 8 * whole, static_cast<size_t>(count - 8 * whole));
  const uint64_t packed = squeeze<bits>(bytes);
  const int64_t left = packed_bytes(count, bits) - bits * whole;
  std::memset(out + bits * whole, 0, static_cast<size_t>(left));
  std::memcpy(out + bits * whole, &packed, static_cast<size_t>(std::min<int64_t>(left, bits)));
}

template <int bits>
void unpack(const std::byte* packed, int64_t count, uint8_t* codes) {
  const int64_t whole = count / 8;
  for (int64_t i = 0; i < whole; ++i) {
    uint64_t squeezed = 0;
    std::memcpy(&squeezed, packed + bits * i, bits);
    const uint64_t bytes = spread<bits>(squeezed);
    std::memcpy(codes + 8 * i, &bytes, 8);
  }
  const int64_t rest = count - 8 * whole;
  uint64_t squeezed = 0;
  std::memcpy(&squeezed, packed + bits * whole, static_cast<size_t>((rest * bits + 7) / 8));
  const uint64_t bytes = spread<bits>(squeezed);
  std::memcpy(codes + 8 * whole, &bytes, static_cast<size_t>(rest));
}

}  // namespace

void pack_codes(const uint8_t* codes, int64_t count, int bits, std::byte* out) {
  assert(bits >= 1 && bits <= 8);
  static constexpr void (*kPack[])(const uint8_t*, int64_t, std::byte*) = {
      pack<1>, pack<2>, pack<3>, pack<4>, pack<5>, pack<6>, pack<7>, pack<8>};
  kPack[bits - 1](codes, count, out);
}

void unpack_codes(const std::byte* packed, int64_t count, int bits, uint8_t* codes) {
  assert(bits >= 1 && bits <= 8);
  static constexpr void (*kUnpack[])(const std::byte*, int64_t, uint8_t*) = {
      unpack<1>, unpack<2>, unpack<3>, unpack<4>, unpack<5>, unpack<6>, unpack<7>, unpack<8>};
  kUnpack[bits - 1](packed, count, codes);
}

uint8_t packed_code(const std::byte* packed, int64_t at, int bits) {
  const int64_t bit = at * bits, first = bit / 8, last = (bit + bits - 1) / 8;
  const unsigned low = std::to_integer<unsigned>(packed[first]);
  const unsigned high = last > first ? std::to_integer<unsigned>(packed[last]) << 8 : 0;
  return static_cast<uint8_t>((low | high) >> bit % 8 & ((1u << bits) - 1));
}

}  // namespace halftone
