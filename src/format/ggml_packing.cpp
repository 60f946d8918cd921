// Packing and unpacking of each block type. Every field is a whole number or an f16, so nothing is
// rounded here: a scale of a superblock type, unit · multiple, is exact in f32 (11 bits and at most
// 8).
#include "format/ggml_packing.h"

#include <algorithm>
#include <array>
#include <cassert>
#include <cmath>
#include <cstring>

#include "base/half.h"

namespace halftone {
namespace {

constexpr int64_t kSuper = 256;
using Block = GgmlBlockFields;

void put_half(float value, uint8_t* out) {
  const uint16_t bits = value == 0 ? uint16_t{0} : to_f16(value).bits;
  std::memcpy(out, &bits, sizeof(bits));
}

float get_half(const uint8_t* in) {
  f16 half;
  std::memcpy(&half.bits, in, sizeof(half.bits));
  return to_float(half);
}

// 2 · count codes of four bits: those of the first half in low nibbles, of the second in high ones.
void put_nibbles(const uint8_t* codes, int count, uint8_t* out) {
  for (int j = 0; j < count; ++j)
    out[j] = static_cast<uint8_t>((codes[j] & 15) | (codes[j + count] & 15) << 4);
}

void get_nibbles(const uint8_t* in, int count, uint8_t* codes) {
  for (int j = 0; j < count; ++j) {
    codes[j] = in[j] & 15;
    codes[j + count] = in[j] >> 4;
  }
}

// The fifth bits of 32 codes.
void put_fifth_bits(const uint8_t* codes, uint8_t* out) {
  uint32_t bits = 0;
  for (int j = 0; j < 32; ++j) bits |= static_cast<uint32_t>(codes[j] >> 4 & 1) << j;
  std::memcpy(out, &bits, sizeof(bits));
}

void get_fifth_bits(const uint8_t* in, uint8_t* codes) {
  uint32_t bits;
  std::memcpy(&bits, in, sizeof(bits));
  for (int j = 0; j < 32; ++j) codes[j] |= static_cast<uint8_t>((bits >> j & 1) << 4);
}

// Q4_0 and IQ4_NL: scale, nibbles.
void pack_4_bits(const Block& block, uint8_t* out) {
  put_half(block.scales[0], out);
  put_nibbles(block.codes, 16, out + 2);
}

void unpack_4_bits(const uint8_t* in, const Block& block) {
  block.scales[0] = get_half(in);
  get_nibbles(in + 2, 16, block.codes);
}

// Q4_1: scale, minimum, nibbles. The minimum is what is added: the offset's negative.
void pack_q4_1(const Block& block, uint8_t* out) {
  put_half(block.scales[0], out);
  put_half(-block.offsets[0], out + 2);
  put_nibbles(block.codes, 16, out + 4);
}

void unpack_q4_1(const uint8_t* in, const Block& block) {
  block.scales[0] = get_half(in);
  block.offsets[0] = -get_half(in + 2);
  get_nibbles(in + 4, 16, block.codes);
}

void pack_q5_0(const Block& block, uint8_t* out) {
  put_half(block.scales[0], out);
  put_fifth_bits(block.codes, out + 2);
  put_nibbles(block.codes, 16, out + 6);
}

void unpack_q5_0(const uint8_t* in, const Block& block) {
  block.scales[0] = get_half(in);
  get_nibbles(in + 6, 16, block.codes);
  get_fifth_bits(in + 2, block.codes);
}

void pack_q5_1(const Block& block, uint8_t* out) {
  put_half(block.scales[0], out);
  put_half(-block.offsets[0], out + 2);
  put_fifth_bits(block.codes, out + 4);
  put_nibbles(block.codes, 16, out + 8);
}

void unpack_q5_1(const uint8_t* in, const Block& block) {
  block.scales[0] = get_half(in);
  block.offsets[0] = -get_half(in + 2);
  get_nibbles(in + 8, 16, block.codes);
  get_fifth_bits(in + 4, block.codes);
}

// Codes are int8 + 128.
void pack_q8_0(const Block& block, uint8_t* out) {
  put_half(block.scales[0], out);
  for (int j = 0; j < 32; ++j) out[2 + j] = block.codes[j] ^ 0x80;
}

void unpack_q8_0(const uint8_t* in, const Block& block) {
  block.scales[0] = get_half(in);
  for (int j = 0; j < 32; ++j) block.codes[j] = in[2 + j] ^ 0x80;
}

Multiples multiples_of(const float* numbers, size_t count, int lowest, int highest) {
  const auto found = find_multiples({numbers, count}, lowest, highest);
  assert(found);  // ggml_obstacle was asked
  return *found;
}

// Both units, then the multiples of eight scales and eight offsets in 12 bytes: the lower six bits
// of bytes 0 … 3 and 4 … 7 are those of groups 0 … 3; groups 4 … 7 have their lower four bits in
// bytes 8 … 11 (scale low, offset high) and their upper two in the upper two of bytes 0 … 7.
void put_k_scales(const Block& block, uint8_t* out) {
  const Multiples scales = multiples_of(block.scales, 8, 0, 63);
  const Multiples offsets = multiples_of(block.offsets, 8, 0, 63);
  put_half(scales.unit, out);
  put_half(offsets.unit, out + 2);
  for (int j = 0; j < 4; ++j) {
    const int scale = scales.values[j + 4], offset = offsets.values[j + 4];
    out[4 + j] = static_cast<uint8_t>(scales.values[j] | scale >> 4 << 6);
    out[8 + j] = static_cast<uint8_t>(offsets.values[j] | offset >> 4 << 6);
    out[12 + j] = static_cast<uint8_t>((scale & 15) | (offset & 15) << 4);
  }
}

void get_k_scales(const uint8_t* in, const Block& block) {
  const float scale = get_half(in), offset = get_half(in + 2);
  for (int j = 0; j < 4; ++j) {
    block.scales[j] = scale * static_cast<float>(in[4 + j] & 63);
    block.offsets[j] = offset * static_cast<float>(in[8 + j] & 63);
    block.scales[j + 4] = scale * static_cast<float>((in[12 + j] & 15) | in[4 + j] >> 6 << 4);
    block.offsets[j + 4] = offset * static_cast<float>(in[12 + j] >> 4 | in[8 + j] >> 6 << 4);
  }
}

// Scales, then nibbles of 64 codes at a time.
void pack_q4_k(const Block& block, uint8_t* out) {
  put_k_scales(block, out);
  for (int i = 0; i < 4; ++i) put_nibbles(block.codes + 64 * i, 32, out + 16 + 32 * i);
}

void unpack_q4_k(const uint8_t* in, const Block& block) {
  get_k_scales(in, block);
  for (int i = 0; i < 4; ++i) get_nibbles(in + 16 + 32 * i, 32, block.codes + 64 * i);
}

// The same with 32 bytes of fifth bits between: group j's are bit j of each.
void pack_q5_k(const Block& block, uint8_t* out) {
  put_k_scales(block, out);
  for (int l = 0; l < 32; ++l) {
    int bits = 0;
    for (int j = 0; j < 8; ++j) bits |= (block.codes[32 * j + l] >> 4 & 1) << j;
    out[16 + l] = static_cast<uint8_t>(bits);
  }
  for (int i = 0; i < 4; ++i) put_nibbles(block.codes + 64 * i, 32, out + 48 + 32 * i);
}

void unpack_q5_k(const uint8_t* in, const Block& block) {
  get_k_scales(in, block);
  for (int i = 0; i < 4; ++i) get_nibbles(in + 48 + 32 * i, 32, block.codes + 64 * i);
  for (int j = 0; j < 8; ++j)
    for (int l = 0; l < 32; ++l)
      block.codes[32 * j + l] |= static_cast<uint8_t>((in[16 + l] >> j & 1) << 4);
}

// Where code `col` of a Q6_K block lies: a nibble and two bits.
struct SixBitPlace {
  int nibble, nibble_shift, pair, pair_shift;
};
SixBitPlace six_bit_place(int col) {
  const int half = col / 128, quarter = col % 128 / 32, l = col % 32;
  return {64 * half + 32 * (quarter & 1) + l, 4 * (quarter >> 1), 128 + 32 * half + l, 2 * quarter};
}

// Low nibbles (128 bytes), upper pairs of bits (64), int8 multiples (16), unit.
void pack_q6_k(const Block& block, uint8_t* out) {
  const Multiples scales = multiples_of(block.scales, 16, -128, 127);
  std::memset(out, 0, 192);
  for (int col = 0; col < kSuper; ++col) {
    const SixBitPlace place = six_bit_place(col);
    out[place.nibble] |= static_cast<uint8_t>((block.codes[col] & 15) << place.nibble_shift);
    out[place.pair] |= static_cast<uint8_t>(block.codes[col] >> 4 << place.pair_shift);
  }
  for (int j = 0; j < 16; ++j) out[192 + j] = static_cast<uint8_t>(scales.values[j]);
  put_half(scales.unit, out + 208);
}

void unpack_q6_k(const uint8_t* in, const Block& block) {
  const float unit = get_half(in + 208);
  for (int col = 0; col < kSuper; ++col) {
    const SixBitPlace place = six_bit_place(col);
    block.codes[col] = static_cast<uint8_t>((in[place.nibble] >> place.nibble_shift & 15) |
                                            (in[place.pair] >> place.pair_shift & 3) << 4);
  }
  for (int j = 0; j < 16; ++j)
    block.scales[j] = unit * static_cast<float>(static_cast<int8_t>(in[192 + j]));
}

// Unit, upper two bits of the multiples + 32 (16 bits), lower four (4 bytes), nibbles.
void pack_iq4_xs(const Block& block, uint8_t* out) {
  const Multiples scales = multiples_of(block.scales, 8, -32, 31);
  put_half(scales.unit, out);
  std::memset(out + 2, 0, 6);
  uint16_t upper = 0;
  for (int j = 0; j < 8; ++j) {
    const int value = scales.values[j] + 32;
    upper = static_cast<uint16_t>(upper | value >> 4 << 2 * j);
    out[4 + j / 2] |= static_cast<uint8_t>((value & 15) << 4 * (j % 2));
    put_nibbles(block.codes + 32 * j, 16, out + 8 + 16 * j);
  }
  std::memcpy(out + 2, &upper, sizeof(upper));
}

void unpack_iq4_xs(const uint8_t* in, const Block& block) {
  const float unit = get_half(in);
  uint16_t upper;
  std::memcpy(&upper, in + 2, sizeof(upper));
  for (int j = 0; j < 8; ++j) {
    const int lower = in[4 + j / 2] >> 4 * (j % 2) & 15;
    block.scales[j] = unit * static_cast<float>((lower | (upper >> 2 * j & 3) << 4) - 32);
    get_nibbles(in + 8 + 16 * j, 16, block.codes + 32 * j);
  }
}

// With eight bits there are levels enough on either side.
constexpr Grid even(int bits) {
  return {.bits = bits, .group_size = 32, .signed_scales = bits < 8};
}
constexpr Grid with_minimum(int bits, int64_t superblock = 0) {
  return {.bits = bits,
          .group_size = 32,
          .symmetric = false,
          .offsets = true,
          .superblock = superblock,
          .multiple_bits = superblock > 0 ? 6 : 0};
}
constexpr Grid uneven(int64_t superblock) {
  return {.bits = 4,
          .group_size = 32,
          .table = LevelTable::iq4_nl,
          .superblock = superblock,
          .multiple_bits = superblock > 0 ? 6 : 0};
}
constexpr Grid kSixBits = {.bits = 6, .group_size = 16, .superblock = kSuper, .multiple_bits = 8};

constexpr std::array kPackings = {
    GgmlPacking{"Q4_0", even(4), pack_4_bits, unpack_4_bits},
    GgmlPacking{"Q4_1", with_minimum(4), pack_q4_1, unpack_q4_1},
    GgmlPacking{"Q5_0", even(5), pack_q5_0, unpack_q5_0},
    GgmlPacking{"Q5_1", with_minimum(5), pack_q5_1, unpack_q5_1},
    GgmlPacking{"Q8_0", even(8), pack_q8_0, unpack_q8_0},
    GgmlPacking{"Q4_K", with_minimum(4, kSuper), pack_q4_k, unpack_q4_k},
    GgmlPacking{"Q5_K", with_minimum(5, kSuper), pack_q5_k, unpack_q5_k},
    GgmlPacking{"Q6_K", kSixBits, pack_q6_k, unpack_q6_k},
    GgmlPacking{"IQ4_NL", uneven(0), pack_4_bits, unpack_4_bits},
    GgmlPacking{"IQ4_XS", uneven(kSuper), pack_iq4_xs, unpack_iq4_xs},
};

}  // namespace

std::span<const GgmlPacking> ggml_packings() { return kPackings; }

const GgmlPacking* find_ggml_packing(std::string_view type) {
  const auto found = std::find_if(kPackings.begin(), kPackings.end(),
                                  [&](const GgmlPacking& row) { return row.name == type; });
  return found == kPackings.end() ? nullptr : &*found;
}

std::optional<Multiples> find_multiples(std::span<const float> numbers, int lowest, int highest) {
  assert(!numbers.empty() && numbers.size() <= 16 && lowest <= 0 && highest > 0);
  Multiples found;
  const float largest = *std::max_element(
      numbers.begin(), numbers.end(), [](float a, float b) { return std::abs(a) < std::abs(b); });
  if (largest == 0) return found;
  for (int multiple = highest; multiple >= lowest; --multiple) {
    if (multiple == 0) continue;
    found.unit = round_to_f16(largest / static_cast<float>(multiple));
    bool exact = std::isfinite(found.unit) && found.unit != 0;
    for (size_t i = 0; exact && i < numbers.size(); ++i) {
      const float value = std::nearbyint(numbers[i] / found.unit);
      exact = value >= static_cast<float>(lowest) && value <= static_cast<float>(highest) &&
              value * found.unit == numbers[i];
      if (exact) found.values[i] = static_cast<int>(value);
    }
    if (exact) return found;
  }
  return std::nullopt;
}

}  // namespace halftone
