// Attention whose products are AMX's: tiles of 16 rows by 16 words of two bf16, sums in f32 (Intel
// Architecture Instruction Set Extensions, TDPBF16PS). Words lie as the instruction wants them.
#include <immintrin.h>

#include "backend/cpu/simd/attention_layout.h"
#include "backend/cpu/simd/kernel_constants.h"
#include "backend/cpu/simd/kernels.h"

#if defined(__clang__)
#pragma clang attribute push(                                                                      \
    __attribute__((                                                                                \
        target("avx512f,avx512bw,avx512dq,avx512vl,avx512bf16,avx2,fma,f16c,amx-tile,amx-bf16"))), \
    apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx512f,avx512bw,avx512dq,avx512vl,avx512bf16,avx2,fma,f16c,amx-tile,amx-bf16")
#endif

namespace halftone::simd {
namespace amx {

#include "backend/cpu/simd/vector_avx512.inl"
//
#include "backend/cpu/simd/mathematics.inl"
//
#include "backend/cpu/simd/rows.inl"
//
#include "backend/cpu/simd/transpose_avx512.inl"
//
#include "backend/cpu/simd/words_bf16.inl"

constexpr int64_t kRowTile = 16;
constexpr int64_t kDepthTile = 16;
constexpr int64_t kRowBlock = 48;
constexpr int64_t kTile = 16;  // rows, and words of a row

// All eight tiles 16 rows of 64 bytes, for as long as it lives.
class Tiles {
 public:
  Tiles() {
    Configuration all;
    for (int i = 0; i < 8; ++i) {
      all.row_bytes[i] = 4 * kTile;
      all.rows[i] = kTile;
    }
    _tile_loadconfig(&all);
  }
  ~Tiles() { _tile_release(); }
  Tiles(const Tiles&) = delete;
  Tiles& operator=(const Tiles&) = delete;

 private:
  struct alignas(64) Configuration {
    uint8_t palette = 1, start_row = 0, reserved[14] = {};
    uint16_t row_bytes[16] = {};
    uint8_t rows[16] = {};
  };
};

// c := factor_r · c, or zero.
template <int kRows, int kCols>
inline void scale_tiles(const TileOperands& t) {
  for (int64_t r = 0; r < kRows * kTile; ++r)
    for (int64_t j = 0; j < kCols; ++j) {
      float* c = t.c + r * t.c_stride + j * kTile;
      store(load(c) * broadcast(t.factors[r]), c);
    }
}

// kRows · kCols tiles of c, which stay in the tile registers 0 to 3; a's are 4 and 5, b's 6 and 7.
template <int kRows, int kCols>
inline void multiply_tiles(const TileOperands& t) {
  const auto c = [&](int row, int col) { return t.c + row * kTile * t.c_stride + col * kTile; };
  const int64_t a_bytes = 4 * t.a_stride, b_bytes = 4 * t.b_stride, c_bytes = 4 * t.c_stride;
  if (t.factors) {
    scale_tiles<kRows, kCols>(t);
    _tile_loadd(0, c(0, 0), c_bytes);
    if constexpr (kCols > 1) _tile_loadd(1, c(0, 1), c_bytes);
    if constexpr (kRows > 1) _tile_loadd(2, c(1, 0), c_bytes);
    if constexpr (kRows > 1 && kCols > 1) _tile_loadd(3, c(1, 1), c_bytes);
  } else {
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
  }
  for (int64_t k = 0; k < t.depth; k += kTile) {
    const float* b = t.b + k * t.b_stride;
    _tile_loadd(4, t.a + k, a_bytes);
    _tile_loadd(6, b, b_bytes);
    _tile_dpbf16ps(0, 4, 6);
    if constexpr (kCols > 1) {
      _tile_loadd(7, b + kTile, b_bytes);
      _tile_dpbf16ps(1, 4, 7);
    }
    if constexpr (kRows > 1) {
      _tile_loadd(5, t.a + kTile * t.a_stride + k, a_bytes);
      _tile_dpbf16ps(2, 5, 6);
      if constexpr (kCols > 1) _tile_dpbf16ps(3, 5, 7);
    }
  }
  _tile_stored(0, c(0, 0), c_bytes);
  if constexpr (kCols > 1) _tile_stored(1, c(0, 1), c_bytes);
  if constexpr (kRows > 1) _tile_stored(2, c(1, 0), c_bytes);
  if constexpr (kRows > 1 && kCols > 1) _tile_stored(3, c(1, 1), c_bytes);
}

template <int kRows>
inline void multiply_rows(const TileOperands& all, int64_t cols) {
  TileOperands t = all;
  int64_t col = 0;
  for (; col + 2 * kTile <= cols; col += 2 * kTile, t.b += 2 * kTile, t.c += 2 * kTile)
    multiply_tiles<kRows, 2>(t);
  if (col < cols) multiply_tiles<kRows, 1>(t);
}

// Rows, columns and depth multiples of kTile.
inline void multiply(const TileOperands& all, int64_t rows, int64_t cols) {
  TileOperands t = all;
  for (int64_t row = 0; row < rows;) {
    const int64_t step = row + 2 * kTile <= rows ? 2 * kTile : kTile;
    if (step == kTile)
      multiply_rows<1>(t, cols);
    else
      multiply_rows<2>(t, cols);
    t.a += step * t.a_stride;
    t.c += step * t.c_stride;
    if (t.factors) t.factors += step;
    row += step;
  }
}

#include "backend/cpu/simd/attention.inl"

inline void attend(const AttentionTask& task) {
  const Tiles tiles;
  attend_task(task);
}

}  // namespace amx

void attend_amx(const AttentionTask& task) { amx::attend(task); }

}  // namespace halftone::simd

#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif
