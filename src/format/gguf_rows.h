// The order of q's and k's rows in GGUF's arch llama, which rotates neighbouring pairs: within a
// head of d, row 2i + p of the file is Hugging Face's row p·d/2 + i.
#pragma once

#include <cstdint>

namespace halftone {

// Where Hugging Face's row `row` of an interleaved matrix lies in the file.
inline int64_t row_in_file(int64_t row, int64_t head_dim) {
  const int64_t head = row / head_dim, within = row % head_dim, half = head_dim / 2;
  return head * head_dim + 2 * (within % half) + within / half;
}

}  // namespace halftone
