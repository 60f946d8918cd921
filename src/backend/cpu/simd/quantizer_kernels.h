// The quantizer's vector kernels, written once (candidate_loss.inl, quantize_panel.inl) and
// compiled for every instruction set, as those of kernels.h are.
#pragma once

#include <cstdint>

#include "backend/cpu/simd/kernels.h"

namespace halftone {
struct BlockGrid;
struct BlockRow;
}  // namespace halftone

namespace halftone::simd {

// |x|^power = x² · m^(power−2) · 2^(e·(power−2)) with |x| = m · 2^e, m in [0.75, 1.5): a polynomial
// for the mantissa, a table for the exponents −30 … 1.
inline constexpr int kPowerDegree = 7;
inline constexpr int kPowerOctaves = 32;
struct PowerTable {
  float coefficients[kPowerDegree + 1];
  float octaves[kPowerOctaves];
};
PowerTable power_table(double power);

// A candidate of fit_grid(): ŵ = scale · clamp(round(w / scale), lowest, highest).
struct CandidateCodes {
  float scale = 1, inverse_scale = 1, lowest = 0, highest = 0;
};
// What the number of weights given to candidate_loss() must be a multiple of.
inline constexpr int64_t kLossPadding = 16;

// Rows across vector lanes: (columns, kPanelRows) each, but for scales and zeros (groups,
// kPanelRows).
inline constexpr int64_t kPanelRows = 32;
struct ColumnPanel {
  int64_t columns = 0;
  float* target = nullptr;
  float* errors = nullptr;  // the weights beforehand
  uint8_t* codes = nullptr;
  const float* scales = nullptr;
  const float* zeros = nullptr;
  const int32_t* group_of = nullptr;  // of the block's columns, numbered within the panel
  const float* factor = nullptr;      // at the block's diagonal
  int64_t factor_ld = 0;
  float largest_code = 0;
  bool offsets = false;           // zeros are offsets
  const float* levels = nullptr;  // largest_code + 1 of them, rising; null: even
};

// Rows of 32-bit words (a float, or two neighbouring bf16 of a column) that transpose() turns at a
// time.
inline constexpr int64_t kTurnedRows = 128;

struct QuantizerKernels {
  // Σ |w − ŵ|^power of weights whose errors are below 3. Stops early, with a partial sum, once it
  // is no longer below `limit`: terms are not negative, so the whole sum would not be either.
  float (*candidate_loss)(const float* weights, int64_t count, const CandidateCodes& codes,
                          const PowerTable& table, float limit);
  // Σ importance · (w − ŵ)², the same way.
  float (*weighed_loss)(const float* weights, const float* importance, int64_t count,
                        const CandidateCodes& codes, float limit);
  // quantize_columns() of one panel.
  void (*quantize_panel)(const ColumnPanel& panel);
  // fit_blocks() of one row.
  void (*fit_block_row)(const BlockGrid& grid, const BlockRow& row);
  // out (cols, kTurnedRows) := words (kTurnedRows, cols) transposed.
  void (*transpose)(const float* words, int64_t cols, float* out);
  // words[i] := low[i] and, in the upper half, high[i].
  void (*pair_rows)(const bf16* low, const bf16* high, int64_t count, uint32_t* words);
};

// The table for an instruction set that the processor has.
const QuantizerKernels& quantizer_kernels_for(Isa isa);

// One table a translation unit, compiled for its instruction set.
extern const QuantizerKernels kScalarQuantizerKernels, kAvx2QuantizerKernels,
    kAvx512QuantizerKernels;

}  // namespace halftone::simd
