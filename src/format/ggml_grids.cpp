// Rows of blocks from codes and back, and what stands in the way of it.
#include "format/ggml_grids.h"

#include <algorithm>
#include <cassert>
#include <vector>

#include "base/error.h"
#include "base/half.h"
#include "format/ggml_packing.h"
#include "io/gguf.h"

namespace halftone {
namespace {

constexpr int64_t kMostValues = 256;  // of a block

std::string refused(const char* what, float value) {
  return fmt::format("{} {} would be rounded to {}", what, value, round_to_f16(value));
}

// The scales, or offsets, of one superblock in the type's groups.
std::vector<float> numbers_of(const std::vector<float>& all, const QuantizedMatrix& matrix,
                              int64_t row, int64_t begin, const Grid& grid) {
  std::vector<float> numbers;
  for (int64_t col = begin; col < begin + grid.superblock; col += grid.group_size)
    numbers.push_back(all[static_cast<size_t>(row * matrix.groups() + matrix.group(col))]);
  return numbers;
}

std::string superblock_obstacle(const QuantizedMatrix& matrix, const Grid& grid) {
  const int highest = (1 << (grid.multiple_bits - (grid.offsets ? 0 : 1))) - 1;
  const int lowest = grid.offsets ? 0 : -highest - 1;
  for (int64_t row = 0; row < matrix.rows; ++row)
    for (int64_t begin = 0; begin < matrix.cols; begin += grid.superblock) {
      if (!find_multiples(numbers_of(matrix.scales, matrix, row, begin, grid), lowest, highest))
        return fmt::format("the scales of {} inputs are not multiples of one", grid.superblock);
      if (grid.offsets &&
          !find_multiples(numbers_of(matrix.offsets, matrix, row, begin, grid), 0, highest))
        return fmt::format("the offsets of {} inputs are not multiples of one", grid.superblock);
    }
  return "";
}

}  // namespace

std::optional<Grid> ggml_grid(std::string_view type) {
  const GgmlPacking* row = find_ggml_packing(type);
  return row == nullptr ? std::nullopt : std::optional(row->grid);
}

std::optional<std::string_view> ggml_type_of(const Grid& grid) {
  for (const GgmlPacking& row : ggml_packings())
    if (row.grid == grid) return row.name;
  return std::nullopt;
}

std::string ggml_obstacle(std::string_view type, const QuantizedMatrix& matrix) {
  const GgmlPacking* row = find_ggml_packing(type);
  assert(row != nullptr);
  const Grid& grid = row->grid;
  const GgmlBlock block = *ggml_block(type);
  if (matrix.cols % block.values != 0)
    return fmt::format("{} stores {} values at a time, which do not divide its {} inputs", type,
                       block.values, matrix.cols);
  if (!matrix.group_of.empty()) return "its groups are scattered (act-order g_idx)";
  if (matrix.grid.table != grid.table || matrix.grid.bits != grid.bits ||
      matrix.grid.offsets != grid.offsets)
    return fmt::format("{} has other levels", type);
  if (matrix.grid.group_width(matrix.cols) % grid.group_size != 0)
    return fmt::format("{} has groups of {}", type, grid.group_size);
  if (!grid.offsets)
    for (const uint8_t zero : matrix.zeros)
      if (zero != grid.symmetric_zero())
        return fmt::format("a zero is {}, and {} has {} everywhere", zero, type,
                           grid.symmetric_zero());
  if (grid.superblock > 0) return superblock_obstacle(matrix, grid);
  for (const float scale : matrix.scales)
    if (round_to_f16(scale) != scale) return refused("its scale", scale);
  for (const float offset : matrix.offsets)
    if (round_to_f16(offset) != offset) return refused("its offset", offset);
  return "";
}

void pack_ggml_row(std::string_view type, const QuantizedMatrix& matrix, int64_t row,
                   std::span<std::byte> out) {
  const GgmlPacking& packing = *find_ggml_packing(type);
  const GgmlBlock size = *ggml_block(type);
  assert(static_cast<int64_t>(out.size()) * size.values == matrix.cols * size.bytes);
  uint8_t codes[kMostValues];
  float scales[16], offsets[16];
  auto* to = reinterpret_cast<uint8_t*>(out.data());
  for (int64_t begin = 0; begin < matrix.cols; begin += size.values, to += size.bytes) {
    const uint8_t* from = matrix.codes.data() + row * matrix.cols + begin;
    std::copy(from, from + size.values, codes);
    for (int64_t i = 0; i * packing.grid.group_size < size.values; ++i) {
      const int64_t group = matrix.group(begin + i * packing.grid.group_size);
      const auto at = static_cast<size_t>(row * matrix.groups() + group);
      scales[i] = matrix.scales[at];
      offsets[i] = packing.grid.offsets ? matrix.offsets[at] : 0;
    }
    packing.pack({codes, scales, offsets}, to);
  }
}

void unpack_ggml_row(std::string_view type, std::span<const std::byte> blocks, int64_t row,
                     QuantizedMatrix& matrix) {
  const GgmlPacking& packing = *find_ggml_packing(type);
  const GgmlBlock size = *ggml_block(type);
  assert(static_cast<int64_t>(blocks.size()) * size.values == matrix.cols * size.bytes);
  const int64_t group_size = packing.grid.group_size, groups = size.values / group_size;
  const auto* in = reinterpret_cast<const uint8_t*>(blocks.data());
  float unused[16];
  uint8_t* codes = matrix.codes.data() + row * matrix.cols;
  float* scales = matrix.scales.data() + row * (matrix.cols / group_size);
  float* offsets =
      packing.grid.offsets ? matrix.offsets.data() + row * (matrix.cols / group_size) : nullptr;
  for (int64_t begin = 0; begin < matrix.cols; begin += size.values, in += size.bytes) {
    packing.unpack(in, {codes, scales, offsets == nullptr ? unused : offsets});
    codes += size.values;
    scales += groups;
    if (offsets != nullptr) offsets += groups;
  }
}

}  // namespace halftone
