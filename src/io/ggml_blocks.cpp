// Decoding of ggml's block types to f32, bit for bit as llama.cpp's dequantize_row_* does it: the
// same products in the same order, never fused. Layouts: llama.cpp's ggml-common.h.
//
// Every block holds its scales as fp16. "K" blocks are superblocks of 256 values whose sub-blocks
// have 6-bit (or int8) scales of their own.
#include "io/ggml_blocks.h"

#include <array>
#include <bit>
#include <cassert>
#include <cstring>

#include "base/half.h"
#include "io/gguf.h"
#include "tensor/quantized.h"

namespace halftone {
namespace {

constexpr int kSuper = 256;

template <class T>
T load(const uint8_t* bytes) {
  T value;
  std::memcpy(&value, bytes, sizeof(value));
  return value;
}

float load_half(const uint8_t* bytes) { return to_float(f16{load<uint16_t>(bytes)}); }

// fp16 to f32 without branches, so that whole rows vectorize: the exponent is moved by a product,
// which is exact and makes fp16's subnormals normal.
float widen(uint16_t half) {
  const uint32_t magnitude = static_cast<uint32_t>(half & 0x7fffu) << 13;
  const uint32_t finite = std::bit_cast<uint32_t>(std::bit_cast<float>(magnitude) * 0x1p112f);
  const uint32_t special = magnitude | 0x7f800000u;
  const uint32_t bits = magnitude >= 0x0f800000u ? special : finite;
  return std::bit_cast<float>(bits | static_cast<uint32_t>(half & 0x8000u) << 16);
}

void decode_f32(const uint8_t* in, int64_t blocks, float* out) {
  std::memcpy(out, in, static_cast<size_t>(blocks) * sizeof(float));
}

void decode_f16(const uint8_t* in, int64_t blocks, float* out) {
  for (int64_t i = 0; i < blocks; ++i) out[i] = widen(load<uint16_t>(in + 2 * i));
}

void decode_bf16(const uint8_t* in, int64_t blocks, float* out) {
  for (int64_t i = 0; i < blocks; ++i) out[i] = to_float(bf16{load<uint16_t>(in + 2 * i)});
}

// d, then 16 bytes: low nibbles are values 0 … 15, high nibbles 16 … 31.
void decode_q4_0(const uint8_t* in, int64_t blocks, float* out) {
  for (; blocks > 0; --blocks, in += 18, out += 32) {
    const float d = load_half(in);
    const uint8_t* qs = in + 2;
    for (int j = 0; j < 16; ++j) out[j] = static_cast<float>((qs[j] & 15) - 8) * d;
    for (int j = 0; j < 16; ++j) out[j + 16] = static_cast<float>((qs[j] >> 4) - 8) * d;
  }
}

// d, m, nibbles.
void decode_q4_1(const uint8_t* in, int64_t blocks, float* out) {
  for (; blocks > 0; --blocks, in += 20, out += 32) {
    const float d = load_half(in), m = load_half(in + 2);
    const uint8_t* qs = in + 4;
    for (int j = 0; j < 16; ++j) out[j] = static_cast<float>(qs[j] & 15) * d + m;
    for (int j = 0; j < 16; ++j) out[j + 16] = static_cast<float>(qs[j] >> 4) * d + m;
  }
}

// The fifth bit of value j is bit j of `high`.
int fifth_bit(uint32_t high, int j) { return static_cast<int>(high >> j & 1u) << 4; }

// d, 32 high bits, nibbles.
void decode_q5_0(const uint8_t* in, int64_t blocks, float* out) {
  for (; blocks > 0; --blocks, in += 22, out += 32) {
    const float d = load_half(in);
    const uint32_t high = load<uint32_t>(in + 2);
    const uint8_t* qs = in + 6;
    for (int j = 0; j < 16; ++j) {
      out[j] = static_cast<float>(((qs[j] & 15) | fifth_bit(high, j)) - 16) * d;
    }
    for (int j = 0; j < 16; ++j) {
      out[j + 16] = static_cast<float>(((qs[j] >> 4) | fifth_bit(high, j + 16)) - 16) * d;
    }
  }
}

// d, m, 32 high bits, nibbles.
void decode_q5_1(const uint8_t* in, int64_t blocks, float* out) {
  for (; blocks > 0; --blocks, in += 24, out += 32) {
    const float d = load_half(in), m = load_half(in + 2);
    const uint32_t high = load<uint32_t>(in + 4);
    const uint8_t* qs = in + 8;
    for (int j = 0; j < 16; ++j) {
      out[j] = static_cast<float>((qs[j] & 15) | fifth_bit(high, j)) * d + m;
    }
    for (int j = 0; j < 16; ++j) {
      out[j + 16] = static_cast<float>((qs[j] >> 4) | fifth_bit(high, j + 16)) * d + m;
    }
  }
}

// d, 32 int8.
void decode_q8_0(const uint8_t* in, int64_t blocks, float* out) {
  for (; blocks > 0; --blocks, in += 34, out += 32) {
    const float d = load_half(in);
    for (int j = 0; j < 32; ++j) out[j] = static_cast<float>(static_cast<int8_t>(in[2 + j])) * d;
  }
}

struct SubBlock {
  float scale, minimum;
};

// Sub-block j's scale and minimum: 6 bits each, sixteen of them in 12 bytes.
SubBlock sub_block(const uint8_t* packed, int j, float d, float dmin) {
  int scale, minimum;
  if (j < 4) {
    scale = packed[j] & 63;
    minimum = packed[j + 4] & 63;
  } else {
    scale = (packed[j + 4] & 15) | (packed[j - 4] >> 6) << 4;
    minimum = (packed[j + 4] >> 4) | (packed[j] >> 6) << 4;
  }
  return {d * static_cast<float>(scale), dmin * static_cast<float>(minimum)};
}

// d, dmin, 12 bytes of scales, 128 of nibbles: each 32 of those are 64 values, low nibbles first.
void decode_q4_k(const uint8_t* in, int64_t blocks, float* out) {
  for (; blocks > 0; --blocks, in += 144) {
    const float d = load_half(in), dmin = load_half(in + 2);
    const uint8_t* qs = in + 16;
    for (int j = 0; j < 8; j += 2, qs += 32, out += 64) {
      const SubBlock low = sub_block(in + 4, j, d, dmin), high = sub_block(in + 4, j + 1, d, dmin);
      for (int l = 0; l < 32; ++l) {
        out[l] = low.scale * static_cast<float>(qs[l] & 15) - low.minimum;
      }
      for (int l = 0; l < 32; ++l) {
        out[l + 32] = high.scale * static_cast<float>(qs[l] >> 4) - high.minimum;
      }
    }
  }
}

// As Q4_K, with 32 bytes of fifth bits before the nibbles: sub-block j's are bit j of each.
void decode_q5_k(const uint8_t* in, int64_t blocks, float* out) {
  for (; blocks > 0; --blocks, in += 176) {
    const float d = load_half(in), dmin = load_half(in + 2);
    const uint8_t* qh = in + 16;
    const uint8_t* qs = in + 48;
    for (int j = 0; j < 8; j += 2, qs += 32, out += 64) {
      const SubBlock low = sub_block(in + 4, j, d, dmin), high = sub_block(in + 4, j + 1, d, dmin);
      for (int l = 0; l < 32; ++l) {
        const int code = (qs[l] & 15) | (qh[l] >> j & 1) << 4;
        out[l] = low.scale * static_cast<float>(code) - low.minimum;
      }
      for (int l = 0; l < 32; ++l) {
        const int code = (qs[l] >> 4) | (qh[l] >> (j + 1) & 1) << 4;
        out[l + 32] = high.scale * static_cast<float>(code) - high.minimum;
      }
    }
  }
}

// Low nibbles (128 bytes), upper two bits (64), int8 scales of 16 values each (16), d.
void decode_q6_k(const uint8_t* in, int64_t blocks, float* out) {
  for (; blocks > 0; --blocks, in += 210) {
    const float d = load_half(in + 208);
    for (int half = 0; half < 2; ++half, out += 128) {
      const uint8_t* ql = in + 64 * half;
      const uint8_t* qh = in + 128 + 32 * half;
      const uint8_t* scales = in + 192 + 8 * half;
      for (int quarter = 0; quarter < 4; ++quarter) {
        const uint8_t* nibbles = ql + 32 * (quarter & 1);
        const int nibble_shift = 4 * (quarter >> 1);
        for (int part = 0; part < 2; ++part) {
          const float scale =
              d * static_cast<float>(static_cast<int8_t>(scales[2 * quarter + part]));
          for (int l = 16 * part; l < 16 * (part + 1); ++l) {
            const int code = (nibbles[l] >> nibble_shift & 15) | (qh[l] >> 2 * quarter & 3) << 4;
            out[32 * quarter + l] = scale * static_cast<float>(code - 32);
          }
        }
      }
    }
  }
}

// d, nibbles as Q4_0's, each the place of a level in a table.
void decode_iq4_nl(const uint8_t* in, int64_t blocks, float* out) {
  const float* levels = levels_of(LevelTable::iq4_nl).data();
  for (; blocks > 0; --blocks, in += 18, out += 32) {
    const float d = load_half(in);
    const uint8_t* qs = in + 2;
    for (int j = 0; j < 16; ++j) out[j] = levels[qs[j] & 15] * d;
    for (int j = 0; j < 16; ++j) out[j + 16] = levels[qs[j] >> 4] * d;
  }
}

// d, two upper bits of each sub-block's scale (16 bits in all), four lower ones (4 bytes), nibbles;
// a scale is its six bits − 32.
void decode_iq4_xs(const uint8_t* in, int64_t blocks, float* out) {
  const float* levels = levels_of(LevelTable::iq4_nl).data();
  for (; blocks > 0; --blocks, in += 136) {
    const float d = load_half(in);
    const auto upper = load<uint16_t>(in + 2);
    const uint8_t* qs = in + 8;
    for (int i = 0; i < 8; ++i, qs += 16, out += 32) {
      const int lower = in[4 + i / 2] >> 4 * (i % 2) & 15;
      const float scale = d * static_cast<float>((lower | (upper >> 2 * i & 3) << 4) - 32);
      for (int j = 0; j < 16; ++j) out[j] = scale * levels[qs[j] & 15];
      for (int j = 0; j < 16; ++j) out[j + 16] = scale * levels[qs[j] >> 4];
    }
  }
}

struct GgmlType {
  uint32_t number;
  std::string_view name;
  GgmlBlock block{};  // of the types that we read
  void (*decode)(const uint8_t* in, int64_t blocks, float* out) = nullptr;
};

constexpr std::array kTypes = {
    GgmlType{0, "F32", {1, 4}, decode_f32},
    GgmlType{1, "F16", {1, 2}, decode_f16},
    GgmlType{2, "Q4_0", {32, 18}, decode_q4_0},
    GgmlType{3, "Q4_1", {32, 20}, decode_q4_1},
    GgmlType{6, "Q5_0", {32, 22}, decode_q5_0},
    GgmlType{7, "Q5_1", {32, 24}, decode_q5_1},
    GgmlType{8, "Q8_0", {32, 34}, decode_q8_0},
    GgmlType{12, "Q4_K", {kSuper, 144}, decode_q4_k},
    GgmlType{13, "Q5_K", {kSuper, 176}, decode_q5_k},
    GgmlType{14, "Q6_K", {kSuper, 210}, decode_q6_k},
    GgmlType{20, "IQ4_NL", {32, 18}, decode_iq4_nl},
    GgmlType{23, "IQ4_XS", {kSuper, 136}, decode_iq4_xs},
    GgmlType{30, "BF16", {1, 2}, decode_bf16},
    // Known by name only.
    GgmlType{9, "Q8_1"},
    GgmlType{10, "Q2_K"},
    GgmlType{11, "Q3_K"},
    GgmlType{15, "Q8_K"},
    GgmlType{16, "IQ2_XXS"},
    GgmlType{17, "IQ2_XS"},
    GgmlType{18, "IQ3_XXS"},
    GgmlType{19, "IQ1_S"},
    GgmlType{21, "IQ3_S"},
    GgmlType{22, "IQ2_S"},
    GgmlType{24, "I8"},
    GgmlType{25, "I16"},
    GgmlType{26, "I32"},
    GgmlType{27, "I64"},
    GgmlType{28, "F64"},
    GgmlType{29, "IQ1_M"},
    GgmlType{34, "TQ1_0"},
    GgmlType{35, "TQ2_0"},
    GgmlType{39, "MXFP4"},
    GgmlType{40, "NVFP4"},
};

const GgmlType* find_type(std::string_view name) {
  for (const GgmlType& type : kTypes) {
    if (type.name == name) return &type;
  }
  return nullptr;
}

}  // namespace

std::string_view ggml_type_name(uint32_t number) {
  for (const GgmlType& type : kTypes) {
    if (type.number == number) return type.name;
  }
  return {};
}

std::optional<uint32_t> ggml_type_number(std::string_view name) {
  const GgmlType* found = find_type(name);
  if (found == nullptr) return std::nullopt;
  return found->number;
}

std::string readable_ggml_types() {
  std::string list;
  for (const GgmlType& type : kTypes) {
    if (type.decode == nullptr) continue;
    if (!list.empty()) list += ", ";
    list += type.name;
  }
  return list;
}

std::optional<GgmlBlock> ggml_block(std::string_view type) {
  const GgmlType* found = find_type(type);
  if (found == nullptr || found->decode == nullptr) return std::nullopt;
  return found->block;
}

void ggml_dequantize(std::string_view type, std::span<const std::byte> bytes,
                     std::span<float> out) {
  const GgmlType* found = find_type(type);
  assert(found != nullptr && found->decode != nullptr);
  const auto blocks = static_cast<int64_t>(out.size()) / found->block.values;
  assert(blocks * found->block.values == static_cast<int64_t>(out.size()));
  assert(blocks * found->block.bytes == static_cast<int64_t>(bytes.size()));
  found->decode(reinterpret_cast<const uint8_t*>(bytes.data()), blocks, out.data());
}

}  // namespace halftone
