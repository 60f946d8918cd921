// pack-quantized's packing and its inverse.
#include "format/compressed_tensors.h"

#include <cassert>
#include <cstring>
#include <span>

#include "format/bitstream.h"
#include "format/packed_rows.h"
#include "format/stored_scales.h"

namespace halftone {
namespace {

// The zeros of one group lie in column `group` of the words.
void pack_zeros(const QuantizedMatrix& matrix, std::byte* out) {
  const int64_t groups = matrix.groups(), bytes = packed_bytes(matrix.rows, matrix.grid.bits);
  std::vector<uint8_t> zeros(static_cast<size_t>(matrix.rows));
  std::vector<std::byte> words(static_cast<size_t>(bytes));
  for (int64_t group = 0; group < groups; ++group) {
    for (int64_t row = 0; row < matrix.rows; ++row)
      zeros[static_cast<size_t>(row)] = matrix.zeros[static_cast<size_t>(row * groups + group)];
    pack_codes(zeros.data(), matrix.rows, matrix.grid.bits, words.data());
    for (int64_t w = 0; w < bytes / 4; ++w)
      std::memcpy(out + 4 * (w * groups + group), words.data() + 4 * w, 4);
  }
}

void unpack_row(const CompressedLinear& linear, int64_t row, uint8_t* codes) {
  const int bits = linear.grid.bits;
  if (!linear.gaps) {
    const int64_t bytes = packed_bytes(linear.cols, bits);
    return unpack_codes(linear.packed + row * bytes, linear.cols, bits, codes);
  }
  const int64_t per_word = 32 / bits, words = (linear.cols + per_word - 1) / per_word;
  for (int64_t col = 0; col < linear.cols; ++col) {
    uint32_t word;
    std::memcpy(&word, linear.packed + 4 * (row * words + col / per_word), sizeof(word));
    codes[col] = static_cast<uint8_t>(word >> (col % per_word * bits) & ((1u << bits) - 1));
  }
}

uint8_t load_zero(const CompressedLinear& linear, int64_t row, int64_t group) {
  const int bits = linear.grid.bits, middle = linear.grid.symmetric_zero();
  const int64_t groups = linear.grid.groups(linear.cols);
  if (linear.zeros == nullptr) return static_cast<uint8_t>(middle);
  if (linear.zeros_are_bytes)
    return static_cast<uint8_t>(static_cast<int8_t>(linear.zeros[row * groups + group]) + middle);
  // The field may cross from one word to the next, which lies a line further.
  const int64_t bit = linear.gaps ? row / (32 / bits) * 32 + row % (32 / bits) * bits : row * bits;
  const auto word = [&](int64_t at) {
    uint32_t value;
    std::memcpy(&value, linear.zeros + 4 * (at * groups + group), sizeof(value));
    return uint64_t{value};
  };
  uint64_t pair = word(bit / 32);
  if (bit % 32 + bits > 32) pair |= word(bit / 32 + 1) << 32;
  return static_cast<uint8_t>(pair >> bit % 32 & ((1u << bits) - 1));
}

}  // namespace

std::vector<TensorPlan> plan_compressed(const std::string& module, const Grid& grid, int64_t rows,
                                        int64_t cols) {
  const int64_t groups = grid.groups(cols);
  const int64_t code_bytes = packed_bytes(cols, grid.bits);
  const int64_t zero_bytes = packed_bytes(rows, grid.bits);
  const int64_t shape[2] = {rows, cols};
  const auto shape_bytes = std::as_bytes(std::span(shape));
  std::vector<TensorPlan> plan = {
      {module + ".weight_packed", "I32", {rows, code_bytes / 4}, rows * code_bytes},
      {module + ".weight_scale",
       std::string(safetensors_name(grid.scales)),
       {rows, groups},
       rows * groups * bytes_of(grid.scales)},
      {module + ".weight_shape", "I64", {2}, 16, {shape_bytes.begin(), shape_bytes.end()}}};
  if (!grid.symmetric)
    plan.push_back(
        {module + ".weight_zero_point", "I32", {zero_bytes / 4, groups}, zero_bytes * groups});
  return plan;
}

std::vector<PackedTensor> pack_compressed(const std::string& module,
                                          const QuantizedMatrix& matrix) {
  assert(matrix.group_of.empty());
  std::vector<PackedTensor> packed =
      empty_tensors(plan_compressed(module, matrix.grid, matrix.rows, matrix.cols));
  pack_rows(matrix, packed[0].data.data());
  for (size_t i = 0; i < matrix.scales.size(); ++i)
    store_scale(matrix.scales[i], matrix.grid.scales, packed[1].data.data(),
                static_cast<int64_t>(i));
  const int64_t shape[] = {matrix.rows, matrix.cols};
  std::memcpy(packed[2].data.data(), shape, sizeof(shape));
  if (!matrix.grid.symmetric) pack_zeros(matrix, packed[3].data.data());
  return packed;
}

QuantizedMatrix unpack_compressed(const CompressedLinear& linear, int64_t row_begin,
                                  int64_t row_end) {
  const int64_t groups = linear.grid.groups(linear.cols);
  QuantizedMatrix matrix = empty_rows(linear, row_begin, row_end);
  matrix.group_of = linear.group_of;
  for (int64_t row = row_begin; row < row_end; ++row) {
    unpack_row(linear, row, matrix.codes.data() + (row - row_begin) * matrix.cols);
    for (int64_t group = 0; group < groups; ++group) {
      const auto at = static_cast<size_t>((row - row_begin) * groups + group);
      matrix.scales[at] = load_scale(linear.scales, row * groups + group, linear.grid.scales);
      matrix.zeros[at] = load_zero(linear, row, group);
    }
  }
  return matrix;
}

}  // namespace halftone
