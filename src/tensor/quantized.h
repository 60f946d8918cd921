// The format-neutral result of every quantization method, and what every format packs.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "tensor/tensor.h"

namespace halftone {

// How the target format stores a scale; scales are fitted as values that it can store.
enum class ScaleStore : uint8_t { f32, f16, bf16 };
float round_to(ScaleStore store, float scale);

// What the codes of a grid stand for before scale and zero: themselves, or a table of uneven levels
// (ggml's IQ4_NL), whose zero is always 0.
enum class LevelTable : uint8_t { even, iq4_nl };
std::span<const float> levels_of(LevelTable table);  // rising; empty: even

// The values that a code can stand for: ŵ = scale · (level(code) − zero), or, with `offsets`,
// ŵ = scale · level(code) − offset; codes 0 … 2^bits − 1.
struct Grid {
  int bits = 4;              // 2, 3, 4 or 8; 5 and 6 in formats that hold them
  int64_t group_size = 128;  // inputs that share a scale; -1: the whole row
  bool symmetric = true;     // zero is symmetric_zero() everywhere
  ScaleStore scales = ScaleStore::f16;
  // The format stores scale · zero as a number of the scale's type, which must be exact: the scales
  // of asymmetric grids then have a significand that is `bits` shorter.
  bool stores_offset = false;
  LevelTable table = LevelTable::even;
  // Each group has an offset that need not be a multiple of its scale, stored as scales are (ggml's
  // Q4_1, Q4_K); nothing has a zero then.
  bool offsets = false;
  // Scales (and offsets) of the groups in `superblock` inputs are whole multiples of one number of
  // the superblock's, which is what `scales` stores (ggml's K types); 0: each group has its own.
  int64_t superblock = 0;
  // Bits of such a multiple: 1 … 2^bits − 1 with offsets, signed without.
  int multiple_bits = 0;
  // Scales may be negative, so that a symmetric grid's lowest level, of which there is one more
  // than of high ones, lies on either side (ggml's Q4_0).
  bool signed_scales = false;

  int levels() const { return 1 << bits; }
  int symmetric_zero() const { return table == LevelTable::even ? 1 << (bits - 1) : 0; }
  float level(int code) const {
    return table == LevelTable::even ? static_cast<float>(code)
                                     : levels_of(table)[static_cast<size_t>(code)];
  }
  int64_t groups(int64_t cols) const {
    return group_size < 0 ? 1 : (cols + group_size - 1) / group_size;
  }
  int64_t group_width(int64_t cols) const { return group_size < 0 ? cols : group_size; }
  // Bits a weight: its code and its share of scale and, unless symmetric, zero. A format may store
  // more (GPTQ writes the zeros of symmetric grids too).
  double bits_per_weight(int64_t cols) const;
  bool operator==(const Grid&) const = default;
};

// A quantized linear weight, (rows, cols) = (out, in).
struct QuantizedMatrix {
  Grid grid;
  int64_t rows = 0, cols = 0;
  std::vector<uint8_t> codes;       // rows·cols, one a byte, row-major
  std::vector<float> scales;        // rows·groups, row-major, values of grid.scales
  std::vector<uint8_t> zeros;       // rows·groups; empty where the grid has offsets
  std::vector<int32_t> group_of;    // cols: the group of each column; empty: column / group_size
  std::vector<float> offsets = {};  // rows·groups where the grid has them

  int64_t groups() const { return rows == 0 ? 0 : static_cast<int64_t>(scales.size()) / rows; }
  int64_t group(int64_t col) const {
    return group_of.empty() ? col / grid.group_width(cols) : group_of[static_cast<size_t>(col)];
  }
  float value(int64_t row, int64_t col) const;
  // Gives codes, scales and zeros (or offsets) their sizes for `groups` groups a row, all zero.
  void resize(int64_t groups);
  bool operator==(const QuantizedMatrix&) const = default;
};

// The same values in smaller groups; `size` divides the groups' width, which are of neighbours.
QuantizedMatrix split_groups(const QuantizedMatrix& matrix, int64_t size);
// The same values with offsets instead of zeros, and the reverse; nothing where a product of scale
// and zero is not one that grid.scales stores, or an offset no such product.
std::optional<QuantizedMatrix> with_offsets(const QuantizedMatrix& matrix);
std::optional<QuantizedMatrix> with_zeros(const QuantizedMatrix& matrix);

// out (row_end − row_begin, cols), f32, bf16 or f16 on the host := rows [row_begin, row_end) of the
// matrix. The product scale · (level − zero) is taken in f32 and rounded once.
void dequantize(const QuantizedMatrix& matrix, int64_t row_begin, int64_t row_end, View out);

}  // namespace halftone
