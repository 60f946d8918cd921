// AWQ's packing and its inverse: codes of neighbouring outputs share a word, so that tiles of 16
// words by some inputs are turned.
#include "format/awq.h"

#include <algorithm>
#include <array>
#include <cassert>
#include <cstring>

#include "base/error.h"
#include "format/packed_rows.h"
#include "format/stored_scales.h"

namespace halftone {
namespace {

constexpr int64_t kPerWord = 8;
constexpr std::array<int64_t, kPerWord> kOrder = {0, 2, 4, 6, 1, 3, 5, 7};  // output of each nibble
constexpr int64_t kTileWords = 16, kTileInputs = 64;

using WordTile = std::array<std::array<uint32_t, kTileInputs>, kTileWords>;

struct Tile {
  int64_t word = 0, words = 0;  // along the outputs
  int64_t col = 0, cols = 0;
};

// body(tile) for all of (rows / 8, cols).
template <class Body>
void for_tiles(int64_t first_word, int64_t words, int64_t cols, Body body) {
  for (int64_t word = first_word; word < first_word + words; word += kTileWords)
    for (int64_t col = 0; col < cols; col += kTileInputs)
      body(Tile{word, std::min(kTileWords, first_word + words - word), col,
                std::min(kTileInputs, cols - col)});
}

void pack_weight(const QuantizedMatrix& matrix, std::byte* qweight) {
  const int64_t line = matrix.rows / kPerWord;
  WordTile words;
  for_tiles(0, line, matrix.cols, [&](const Tile& tile) {
    for (int64_t w = 0; w < tile.words; ++w) {
      uint32_t* word = words[static_cast<size_t>(w)].data();
      std::fill(word, word + tile.cols, 0u);
      for (size_t i = 0; i < kPerWord; ++i) {
        const int64_t row = (tile.word + w) * kPerWord + kOrder[i];
        const uint8_t* codes = matrix.codes.data() + row * matrix.cols + tile.col;
        for (int64_t col = 0; col < tile.cols; ++col) word[col] |= uint32_t{codes[col]} << 4 * i;
      }
    }
    for (int64_t col = 0; col < tile.cols; ++col)
      for (int64_t w = 0; w < tile.words; ++w)
        std::memcpy(qweight + 4 * ((tile.col + col) * line + tile.word + w),
                    &words[static_cast<size_t>(w)][static_cast<size_t>(col)], 4);
  });
}

void unpack_weight(const AwqLinear& linear, int64_t row_begin, int64_t row_end,
                   QuantizedMatrix& matrix) {
  const int64_t line = linear.rows / kPerWord, first = row_begin / kPerWord;
  const int64_t count = (row_end + kPerWord - 1) / kPerWord - first;
  WordTile words;
  for_tiles(first, count, linear.cols, [&](const Tile& tile) {
    for (int64_t col = 0; col < tile.cols; ++col)
      for (int64_t w = 0; w < tile.words; ++w)
        std::memcpy(&words[static_cast<size_t>(w)][static_cast<size_t>(col)],
                    linear.qweight + 4 * ((tile.col + col) * line + tile.word + w), 4);
    for (int64_t w = 0; w < tile.words; ++w) {
      const uint32_t* word = words[static_cast<size_t>(w)].data();
      for (size_t i = 0; i < kPerWord; ++i) {
        const int64_t row = (tile.word + w) * kPerWord + kOrder[i];
        if (row < row_begin || row >= row_end) continue;
        uint8_t* codes = matrix.codes.data() + (row - row_begin) * matrix.cols + tile.col;
        for (int64_t col = 0; col < tile.cols; ++col)
          codes[col] = static_cast<uint8_t>(word[col] >> 4 * i & 15);
      }
    }
  });
}

// Where the nibble of an output stands: its word's number within a line, and its shift.
struct NibblePlace {
  int64_t word;
  int shift;
};
NibblePlace place_of(int64_t row) {
  const auto at = std::find(kOrder.begin(), kOrder.end(), row % kPerWord) - kOrder.begin();
  return {row / kPerWord, static_cast<int>(4 * at)};
}

}  // namespace

std::vector<TensorPlan> plan_awq(const std::string& module, const Grid& grid, int64_t rows,
                                 int64_t cols) {
  if (rows % kPerWord != 0)
    throw usage_error("{}: {} outputs are no multiple of 8, as --format awq packs them", module,
                      rows)
        .hint(fmt::format("leave it out with --skip '{}'.", module));
  const int64_t groups = grid.groups(cols), line = rows / kPerWord;
  return {{module + ".qweight", "I32", {cols, line}, cols * line * 4},
          {module + ".qzeros", "I32", {groups, line}, groups * line * 4},
          {module + ".scales", "F16", {groups, rows}, groups * rows * 2}};
}

std::vector<PackedTensor> pack_awq(const std::string& module, const QuantizedMatrix& matrix) {
  assert(matrix.grid.bits == 4 && matrix.group_of.empty());
  std::vector<PackedTensor> packed =
      empty_tensors(plan_awq(module, matrix.grid, matrix.rows, matrix.cols));
  pack_weight(matrix, packed[0].data.data());
  const int64_t groups = matrix.groups(), line = matrix.rows / kPerWord;
  for (int64_t row = 0; row < matrix.rows; ++row) {
    const NibblePlace place = place_of(row);
    for (int64_t group = 0; group < groups; ++group) {
      const auto at = static_cast<size_t>(row * groups + group);
      std::byte* zeros = packed[1].data.data() + 4 * (group * line + place.word);
      uint32_t word;
      std::memcpy(&word, zeros, sizeof(word));
      word |= uint32_t{matrix.zeros[at]} << place.shift;
      std::memcpy(zeros, &word, sizeof(word));
      store_scale(matrix.scales[at], ScaleStore::f16, packed[2].data.data(),
                  group * matrix.rows + row);
    }
  }
  return packed;
}

QuantizedMatrix unpack_awq(const AwqLinear& linear, int64_t row_begin, int64_t row_end) {
  const int64_t groups = linear.grid.groups(linear.cols), line = linear.rows / kPerWord;
  QuantizedMatrix matrix = empty_rows(linear, row_begin, row_end);
  unpack_weight(linear, row_begin, row_end, matrix);
  for (int64_t row = row_begin; row < row_end; ++row) {
    const NibblePlace place = place_of(row);
    for (int64_t group = 0; group < groups; ++group) {
      const auto at = static_cast<size_t>((row - row_begin) * groups + group);
      uint32_t word;
      std::memcpy(&word, linear.qzeros + 4 * (group * line + place.word), sizeof(word));
      matrix.zeros[at] = static_cast<uint8_t>(word >> place.shift & 15);
      matrix.scales[at] = load_scale(linear.scales, group * linear.rows + row, linear.grid.scales);
    }
  }
  return matrix;
}

}  // namespace halftone
