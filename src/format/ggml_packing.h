// One block of each of ggml's types, field by field; ggml_grids.h works on rows of them.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "tensor/quantized.h"

namespace halftone {

// Codes, scales and offsets of a block's groups. Offsets may be anything where the grid has none.
struct GgmlBlockFields {
  uint8_t* codes = nullptr;
  float* scales = nullptr;
  float* offsets = nullptr;
};

struct GgmlPacking {
  std::string_view name;  // "Q4_K"
  Grid grid;
  void (*pack)(const GgmlBlockFields& block, uint8_t* out);
  void (*unpack)(const uint8_t* in, const GgmlBlockFields& block);
};
std::span<const GgmlPacking> ggml_packings();
const GgmlPacking* find_ggml_packing(std::string_view type);  // nullptr: none

// Groups of a superblock type: scales, or offsets, as whole multiples of one number that f16
// stores.
struct Multiples {
  float unit = 0;
  int values[16] = {};
};
// `numbers` (at most 16) = unit · values exactly, values in [lowest, highest]; nothing where there
// is no such unit. A unit and values that give the numbers need not be the only ones.
std::optional<Multiples> find_multiples(std::span<const float> numbers, int lowest, int highest);

}  // namespace halftone
