// Where the pieces of attention's working memory lie. All are of 32-bit words: a float, or two
// neighbouring bf16.
#pragma once

#include <cstdint>

namespace halftone::simd {

inline constexpr int64_t kKeyTile = 128;  // keys that are multiplied at a time
inline constexpr int64_t kMostRows = 48;  // rows of a block of scores, and of a product's tile
inline constexpr int64_t kPad = 16;       // columns of the widest vector
inline constexpr int64_t kWideTile = 64;  // columns of the widest register tile
inline constexpr int64_t kLanes = 16;     // of the widest vector

constexpr int64_t round_up(int64_t value, int64_t multiple) {
  return (value + multiple - 1) / multiple * multiple;
}

// c (rows, cols) := factor_r · c + a (rows, depth) · b (depth, cols), a and b in words; factors may
// be null for c := a · b. Strides in words.
struct TileOperands {
  const float* a;
  int64_t a_stride;
  const float* b;
  int64_t b_stride, depth;
  float* c;
  int64_t c_stride;
  const float* factors;
};

// The same for every instruction set: as large as the one with the largest tiles wants.
struct AttentionLayout {
  AttentionLayout(int64_t rows, int64_t head_dim)
      : padded_rows(round_up(rows, kMostRows)),
        padded_dim(round_up(head_dim, kPad)),
        queries(0),
        output(queries + padded_rows * padded_dim),
        largest(output + padded_rows * padded_dim),
        sum(largest + padded_rows),
        last_keys(sum + padded_rows * kLanes),
        keys(last_keys + padded_rows),
        values(keys + padded_dim * kKeyTile),
        scores(values + padded_dim * kKeyTile),
        staging(scores + kMostRows * kKeyTile),
        bytes((staging + padded_dim * kKeyTile) * 4) {}

  int64_t padded_rows, padded_dim;
  // Offsets in words: (padded_rows, depth), (padded_rows, padded_dim), (padded_rows), (padded_rows,
  // kLanes), (padded_rows), (depth, kKeyTile), (keys or pairs of keys, padded_dim), (kMostRows,
  // kKeyTile), (kKeyTile, depth).
  int64_t queries, output, largest, sum, last_keys, keys, values, scores, staging;
  int64_t bytes;
};

}  // namespace halftone::simd
