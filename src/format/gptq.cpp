// GPTQ's packing and its inverse.
#include "format/gptq.h"

#include <algorithm>
#include <array>
#include <cassert>
#include <cstring>

#include "base/error.h"

namespace halftone {
namespace {

constexpr int kWordBits = 32;
constexpr int64_t kBlock = 32;     // codes that fill whole words at every width
constexpr int64_t kTileRows = 16;  // outputs handled together: a cache line of words

uint32_t load_word(const std::byte* words, int64_t at) {
  uint32_t word;
  std::memcpy(&word, words + 4 * at, sizeof(word));
  return word;
}

void store_word(std::byte* words, int64_t at, uint32_t word) {
  std::memcpy(words + 4 * at, &word, sizeof(word));
}

// `count` codes ≤ 32 into count·bits/32 words, code j at bit j·bits.
void pack_block(const uint8_t* codes, int64_t count, int bits, uint32_t* words) {
  uint64_t pending = 0;
  int filled = 0;
  for (int64_t j = 0; j < count; ++j) {
    pending |= static_cast<uint64_t>(codes[j]) << filled;
    filled += bits;
    if (filled < kWordBits) continue;
    *words++ = static_cast<uint32_t>(pending);
    pending >>= kWordBits;
    filled -= kWordBits;
  }
  assert(filled == 0);
}

void unpack_block(const uint32_t* words, int64_t count, int bits, uint8_t* codes) {
  const uint32_t mask = (1u << bits) - 1;
  uint64_t pending = 0;
  int held = 0;
  for (int64_t j = 0; j < count; ++j) {
    if (held < bits) {
      pending |= static_cast<uint64_t>(*words++) << held;
      held += kWordBits;
    }
    codes[j] = static_cast<uint8_t>(pending & mask);
    pending >>= bits;
    held -= bits;
  }
}

// Field `at` of a bitstream of `bits`-wide fields.
uint32_t field(const std::byte* words, int64_t at, int bits) {
  const int64_t bit = at * bits, word = bit / kWordBits;
  const int shift = static_cast<int>(bit % kWordBits);
  uint64_t pair = load_word(words, word);
  if (shift + bits > kWordBits) pair |= static_cast<uint64_t>(load_word(words, word + 1)) << 32;
  return static_cast<uint32_t>(pair >> shift) & ((1u << bits) - 1);
}

// v1's zero of output `row`: one more than its field. At 2, 4 and 8 bits GPTQModel adds the ones to
// whole words, so that a zero of 0, whose stored −1 borrowed from the next field, comes back; at 3
// bits fields wrap by themselves.
int v1_zero(const std::byte* words, int64_t row, int bits) {
  const uint32_t mask = (1u << bits) - 1;
  if (bits == 3) return static_cast<int>((field(words, row, bits) + 1) & mask);
  const int64_t per_word = kWordBits / bits;
  const uint32_t ones = 0xffffffffu / mask;
  const uint32_t word = load_word(words, row / per_word) + ones;
  return static_cast<int>(word >> (row % per_word * bits) & mask);
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

PackedTensor empty_tensor(TensorPlan plan, DType dtype) {
  return {std::move(plan.name), dtype, std::move(plan.shape),
          std::vector<std::byte>(static_cast<size_t>(plan.bytes))};
}

void pack_codes(const QuantizedMatrix& matrix, std::byte* qweight) {
  const int bits = matrix.grid.bits;
  std::array<uint32_t, 8> words;
  for (int64_t tile = 0; tile < matrix.rows; tile += kTileRows) {
    for (int64_t col = 0; col < matrix.cols; col += kBlock) {
      const int64_t count = std::min(kBlock, matrix.cols - col);
      const int64_t first = col * bits / kWordBits, n = count * bits / kWordBits;
      for (int64_t row = tile; row < std::min(tile + kTileRows, matrix.rows); ++row) {
        pack_block(matrix.codes.data() + row * matrix.cols + col, count, bits, words.data());
        for (int64_t w = 0; w < n; ++w) {
          store_word(qweight, (first + w) * matrix.rows + row, words[static_cast<size_t>(w)]);
        }
      }
    }
  }
}

void pack_zeros(const QuantizedMatrix& matrix, std::byte* qzeros) {
  const int bits = matrix.grid.bits;
  const int offset = gptq_version(matrix.grid) == GptqVersion::v1 ? 1 : 0;
  const int64_t groups = matrix.groups();
  std::vector<uint8_t> zeros(static_cast<size_t>(matrix.rows));
  std::array<uint32_t, 8> words;
  for (int64_t group = 0; group < groups; ++group) {
    for (int64_t row = 0; row < matrix.rows; ++row) {
      const int zero = matrix.zeros[static_cast<size_t>(row * groups + group)];
      assert(zero >= offset && zero < matrix.grid.levels());
      zeros[static_cast<size_t>(row)] = static_cast<uint8_t>(zero - offset);
    }
    for (int64_t row = 0; row < matrix.rows; row += kBlock) {
      const int64_t count = std::min(kBlock, matrix.rows - row);
      pack_block(zeros.data() + row, count, bits, words.data());
      const int64_t first = (group * matrix.rows + row) * bits / kWordBits;
      for (int64_t w = 0; w < count * bits / kWordBits; ++w) {
        store_word(qzeros, first + w, words[static_cast<size_t>(w)]);
      }
    }
  }
}

void unpack_codes(const GptqLinear& linear, int64_t row_begin, QuantizedMatrix& matrix) {
  const int bits = linear.grid.bits;
  std::array<uint32_t, 8> words;
  for (int64_t tile = 0; tile < matrix.rows; tile += kTileRows) {
    for (int64_t col = 0; col < matrix.cols; col += kBlock) {
      const int64_t count = std::min(kBlock, matrix.cols - col);
      const int64_t first = col * bits / kWordBits, n = count * bits / kWordBits;
      for (int64_t row = tile; row < std::min(tile + kTileRows, matrix.rows); ++row) {
        for (int64_t w = 0; w < n; ++w) {
          words[static_cast<size_t>(w)] =
              load_word(linear.qweight, (first + w) * linear.rows + row_begin + row);
        }
        unpack_block(words.data(), count, bits, matrix.codes.data() + row * matrix.cols + col);
      }
    }
  }
}

}  // namespace

GptqVersion gptq_version(const Grid& grid) {
  return grid.symmetric ? GptqVersion::v1 : GptqVersion::v2;
}

std::string_view name_of(GptqVersion version) {
  return version == GptqVersion::v1 ? "gptq" : "gptq_v2";
}

Grid gptq_grid(const Grid& wanted) {
  if (wanted.bits != 2 && wanted.bits != 3 && wanted.bits != 4 && wanted.bits != 8) {
    throw usage_error("--bits {}: expected 2, 3, 4 or 8 (what --format gptq holds)", wanted.bits);
  }
  if (wanted.group_size != -1 && wanted.group_size <= 0) {
    throw usage_error("--group-size {}: expected a positive number, or -1 for one group a row",
                      wanted.group_size);
  }
  Grid grid = wanted;
  grid.scales = ScaleStore::f16;
  return grid;
}

std::vector<TensorPlan> plan_gptq(const std::string& module, const Grid& grid, int64_t rows,
                                  int64_t cols) {
  const auto check = [&](int64_t codes, const char* what) {
    if (codes * grid.bits % kWordBits == 0) return;
    throw usage_error("{}: {} {} of {} bits do not fill 32-bit words, as --format gptq packs them",
                      module, codes, what, grid.bits)
        .hint(fmt::format("leave it out with --skip '{}'.", module));
  };
  check(cols, "inputs");
  check(rows, "outputs");
  const int64_t groups = grid.groups(cols);
  const int64_t code_words = cols * grid.bits / kWordBits,
                zero_words = rows * grid.bits / kWordBits;
  return {{module + ".g_idx", "I32", {cols}, cols * 4},
          {module + ".qweight", "I32", {code_words, rows}, code_words * rows * 4},
          {module + ".qzeros", "I32", {groups, zero_words}, groups * zero_words * 4},
          {module + ".scales", "F16", {groups, rows}, groups * rows * 2}};
}

std::vector<PackedTensor> pack_gptq(const std::string& module, const QuantizedMatrix& matrix) {
  assert(matrix.grid.scales == ScaleStore::f16);
  std::vector<TensorPlan> plan = plan_gptq(module, matrix.grid, matrix.rows, matrix.cols);
  PackedTensor g_idx = empty_tensor(std::move(plan[0]), DType::i32);
  PackedTensor qweight = empty_tensor(std::move(plan[1]), DType::i32);
  PackedTensor qzeros = empty_tensor(std::move(plan[2]), DType::i32);
  PackedTensor scales = empty_tensor(std::move(plan[3]), DType::f16);
  assert(qzeros.shape[0] == matrix.groups());

  for (int64_t col = 0; col < matrix.cols; ++col) {
    store_word(g_idx.data.data(), col, static_cast<uint32_t>(matrix.group(col)));
  }
  pack_codes(matrix, qweight.data.data());
  pack_zeros(matrix, qzeros.data.data());
  const int64_t groups = matrix.groups();
  for (int64_t row = 0; row < matrix.rows; ++row) {
    for (int64_t group = 0; group < groups; ++group) {
      const float scale = matrix.scales[static_cast<size_t>(row * groups + group)];
      const f16 half = to_f16(scale);
      assert(to_float(half) == scale);
      std::memcpy(scales.data.data() + 2 * (group * matrix.rows + row), &half, sizeof(half));
    }
  }
  std::vector<PackedTensor> packed;
  packed.push_back(std::move(g_idx));
  packed.push_back(std::move(qweight));
  packed.push_back(std::move(qzeros));
  packed.push_back(std::move(scales));
  return packed;
}

QuantizedMatrix unpack_gptq(const GptqLinear& linear, int64_t row_begin, int64_t row_end) {
  assert(0 <= row_begin && row_begin <= row_end && row_end <= linear.rows);
  const int bits = linear.grid.bits;
  const int64_t groups = linear.grid.groups(linear.cols);
  QuantizedMatrix matrix;
  matrix.grid = linear.grid;
  matrix.rows = row_end - row_begin;
  matrix.cols = linear.cols;
  matrix.group_of = linear.group_of;
  matrix.codes.resize(static_cast<size_t>(matrix.rows * matrix.cols));
  matrix.scales.resize(static_cast<size_t>(matrix.rows * groups));
  matrix.zeros.resize(matrix.scales.size());
  unpack_codes(linear, row_begin, matrix);
  for (int64_t group = 0; group < groups; ++group) {
    const std::byte* zeros = linear.qzeros + group * (linear.rows * bits / kWordBits) * 4;
    for (int64_t row = 0; row < matrix.rows; ++row) {
      const auto at = static_cast<size_t>(row * groups + group);
      const int64_t from = row_begin + row;
      matrix.scales[at] = load_scale(linear.scales, group * linear.rows + from, linear.grid.scales);
      matrix.zeros[at] = static_cast<uint8_t>(linear.version == GptqVersion::v1
                                                  ? v1_zero(zeros, from, bits)
                                                  : static_cast<int>(field(zeros, from, bits)));
    }
  }
  return matrix;
}

}  // namespace halftone
