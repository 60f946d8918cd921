// GPTQ's packing and its inverse.
#include "format/gptq.h"

#include <algorithm>
#include <array>
#include <cassert>
#include <cstring>

#include "format/bitstream.h"
#include "format/grid_limits.h"
#include "format/packed_rows.h"
#include "format/stored_scales.h"

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

// v1's zero of output `row`: one more than its field. At 2, 4 and 8 bits GPTQModel adds the ones to
// whole words, so that a zero of 0, whose stored −1 borrowed from the next field, comes back; at 3
// bits fields wrap by themselves.
int v1_zero(const std::byte* words, int64_t row, int bits) {
  const uint32_t mask = (1u << bits) - 1;
  if (bits == 3) return (packed_code(words, row, bits) + 1) & static_cast<int>(mask);
  const int64_t per_word = kWordBits / bits;
  const uint32_t ones = 0xffffffffu / mask;
  const uint32_t word = load_word(words, row / per_word) + ones;
  return static_cast<int>(word >> (row % per_word * bits) & mask);
}

// Codes go along the inputs, words lie with the outputs side by side: tiles of both are turned.
void pack_weight(const QuantizedMatrix& matrix, std::byte* qweight) {
  const int bits = matrix.grid.bits;
  std::array<std::byte, 4 * 8> words;
  for (int64_t tile = 0; tile < matrix.rows; tile += kTileRows) {
    for (int64_t col = 0; col < matrix.cols; col += kBlock) {
      const int64_t count = std::min(kBlock, matrix.cols - col);
      const int64_t first = col * bits / kWordBits, n = count * bits / kWordBits;
      for (int64_t row = tile; row < std::min(tile + kTileRows, matrix.rows); ++row) {
        pack_codes(matrix.codes.data() + row * matrix.cols + col, count, bits, words.data());
        for (int64_t w = 0; w < n; ++w)
          std::memcpy(qweight + 4 * ((first + w) * matrix.rows + row), words.data() + 4 * w, 4);
      }
    }
  }
}

void unpack_weight(const GptqLinear& linear, int64_t row_begin, QuantizedMatrix& matrix) {
  const int bits = linear.grid.bits;
  std::array<std::byte, 4 * 8> words;
  for (int64_t tile = 0; tile < matrix.rows; tile += kTileRows) {
    for (int64_t col = 0; col < matrix.cols; col += kBlock) {
      const int64_t count = std::min(kBlock, matrix.cols - col);
      const int64_t first = col * bits / kWordBits, n = count * bits / kWordBits;
      for (int64_t row = tile; row < std::min(tile + kTileRows, matrix.rows); ++row) {
        const std::byte* from = linear.qweight + 4 * (first * linear.rows + row_begin + row);
        for (int64_t w = 0; w < n; ++w)
          std::memcpy(words.data() + 4 * w, from + 4 * w * linear.rows, 4);
        unpack_codes(words.data(), count, bits, matrix.codes.data() + row * matrix.cols + col);
      }
    }
  }
}

void pack_zeros(const QuantizedMatrix& matrix, GptqVersion version, std::byte* qzeros) {
  const int offset = version == GptqVersion::v1 ? 1 : 0;
  const int64_t groups = matrix.groups();
  std::vector<uint8_t> zeros(static_cast<size_t>(matrix.rows));
  for (int64_t group = 0; group < groups; ++group) {
    for (int64_t row = 0; row < matrix.rows; ++row) {
      const int zero = matrix.zeros[static_cast<size_t>(row * groups + group)];
      assert(zero >= offset && zero < matrix.grid.levels());
      zeros[static_cast<size_t>(row)] = static_cast<uint8_t>(zero - offset);
    }
    const int64_t bytes = packed_bytes(matrix.rows, matrix.grid.bits);
    pack_codes(zeros.data(), matrix.rows, matrix.grid.bits, qzeros + group * bytes);
  }
}

void pack_scales(const QuantizedMatrix& matrix, std::byte* scales) {
  const int64_t groups = matrix.groups();
  for (int64_t row = 0; row < matrix.rows; ++row) {
    for (int64_t group = 0; group < groups; ++group) {
      const float scale = matrix.scales[static_cast<size_t>(row * groups + group)];
      store_scale(scale, ScaleStore::f16, scales, group * matrix.rows + row);
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

std::vector<TensorPlan> plan_gptq(const std::string& module, const Grid& grid, int64_t rows,
                                  int64_t cols) {
  check_fills_words(module, "inputs", cols, grid.bits, "gptq");
  check_fills_words(module, "outputs", rows, grid.bits, "gptq");
  const int64_t groups = grid.groups(cols);
  const int64_t code_words = cols * grid.bits / kWordBits,
                zero_words = rows * grid.bits / kWordBits;
  return {{module + ".g_idx", "I32", {cols}, cols * 4},
          {module + ".qweight", "I32", {code_words, rows}, code_words * rows * 4},
          {module + ".qzeros", "I32", {groups, zero_words}, groups * zero_words * 4},
          {module + ".scales", "F16", {groups, rows}, groups * rows * 2}};
}

std::vector<PackedTensor> pack_gptq(const std::string& module, const QuantizedMatrix& matrix,
                                    GptqVersion version) {
  std::vector<PackedTensor> packed =
      empty_tensors(plan_gptq(module, matrix.grid, matrix.rows, matrix.cols));
  for (int64_t col = 0; col < matrix.cols; ++col) {
    const auto group = static_cast<int32_t>(matrix.group(col));
    std::memcpy(packed[0].data.data() + 4 * col, &group, sizeof(group));
  }
  pack_weight(matrix, packed[1].data.data());
  pack_zeros(matrix, version, packed[2].data.data());
  pack_scales(matrix, packed[3].data.data());
  return packed;
}

QuantizedMatrix unpack_gptq(const GptqLinear& linear, int64_t row_begin, int64_t row_end) {
  const int bits = linear.grid.bits;
  const int64_t groups = linear.grid.groups(linear.cols);
  QuantizedMatrix matrix = empty_rows(linear, row_begin, row_end);
  matrix.group_of = linear.group_of;
  unpack_weight(linear, row_begin, matrix);
  for (int64_t group = 0; group < groups; ++group) {
    const std::byte* zeros = linear.qzeros + group * (linear.rows * bits / kWordBits) * 4;
    for (int64_t row = 0; row < matrix.rows; ++row) {
      const auto at = static_cast<size_t>(row * groups + group);
      const int64_t from = row_begin + row;
      matrix.scales[at] = load_scale(linear.scales, group * linear.rows + from, linear.grid.scales);
      matrix.zeros[at] =
          static_cast<uint8_t>(linear.version == GptqVersion::v1 ? v1_zero(zeros, from, bits)
                                                                 : packed_code(zeros, from, bits));
    }
  }
  return matrix;
}

}  // namespace halftone
