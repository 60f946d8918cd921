// Where the pieces of attention's working memory lie. All are of 32-bit words: a float, or two
// neighbouring bf16.
#pragma once

#include <cstdint>

namespace halftone::simd {

inline constexpr int64_t kKeyTile = 128;  // keys that are multiplied at a time
inline constexpr int64_t kRowBlock = 24;  // rows whose scores stay in the first-level cache
inline constexpr int64_t kRowTile = 6;    // rows of a register tile
inline constexpr int64_t kPad = 16;       // columns of the widest vector
inline constexpr int64_t kWideTile = 64;  // columns of the widest register tile
inline constexpr int64_t kLanes = 16;     // of the widest vector

struct AttentionLayout {
  AttentionLayout(int64_t rows, int64_t head_dim)
      : padded_rows((rows + kRowTile - 1) / kRowTile * kRowTile),
        padded_dim((head_dim + kPad - 1) / kPad * kPad),
        queries(0),
        output(queries + padded_rows * padded_dim),
        largest(output + padded_rows * padded_dim),
        sum(largest + padded_rows),
        last_keys(sum + padded_rows * kLanes),
        keys(last_keys + padded_rows),
        values(keys + padded_dim * kKeyTile),
        scores(values + padded_dim * kKeyTile),
        staging(scores + kRowBlock * kKeyTile),
        bytes((staging + padded_dim * kKeyTile) * 4) {}

  int64_t padded_rows, padded_dim;
  // Offsets in words: (padded_rows, depth), (padded_rows, padded_dim), (padded_rows), (padded_rows,
  // kLanes), (padded_rows), (depth, kKeyTile), (keys or pairs of keys, padded_dim), (kRowBlock,
  // kKeyTile), (kKeyTile, depth).
  int64_t queries, output, largest, sum, last_keys, keys, values, scores, staging;
  int64_t bytes;
};

}  // namespace halftone::simd
