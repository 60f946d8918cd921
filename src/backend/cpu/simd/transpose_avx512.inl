// out (depth, kKeyTile) := words (kKeyTile, depth) transposed, sixteen by sixteen in registers:
// pairs of rows, then pairs of pairs, then the quarters change places.
inline void transpose_block(const float* words, int64_t depth, __mmask16 columns, float* out) {
  __m512 rows[16], pairs[16];
  for (int i = 0; i < 16; ++i) rows[i] = _mm512_maskz_loadu_ps(columns, words + i * depth);
  for (int i = 0; i < 16; i += 2) {
    pairs[i] = _mm512_unpacklo_ps(rows[i], rows[i + 1]);
    pairs[i + 1] = _mm512_unpackhi_ps(rows[i], rows[i + 1]);
  }
  for (int i = 0; i < 16; i += 4) {
    const __m512d a = _mm512_castps_pd(pairs[i]), b = _mm512_castps_pd(pairs[i + 2]);
    const __m512d c = _mm512_castps_pd(pairs[i + 1]), d = _mm512_castps_pd(pairs[i + 3]);
    rows[i] = _mm512_castpd_ps(_mm512_unpacklo_pd(a, b));
    rows[i + 1] = _mm512_castpd_ps(_mm512_unpackhi_pd(a, b));
    rows[i + 2] = _mm512_castpd_ps(_mm512_unpacklo_pd(c, d));
    rows[i + 3] = _mm512_castpd_ps(_mm512_unpackhi_pd(c, d));
  }
  // rows[4 g + j] holds columns {j, j+4, j+8, j+12} of the keys 4 g … 4 g + 3, one in a quarter.
  for (int j = 0; j < 4; ++j) {
    const __m512 low = _mm512_shuffle_f32x4(rows[j], rows[4 + j], 0x88);
    const __m512 high = _mm512_shuffle_f32x4(rows[8 + j], rows[12 + j], 0x88);
    const __m512 low_odd = _mm512_shuffle_f32x4(rows[j], rows[4 + j], 0xdd);
    const __m512 high_odd = _mm512_shuffle_f32x4(rows[8 + j], rows[12 + j], 0xdd);
    pairs[j] = _mm512_shuffle_f32x4(low, high, 0x88);
    pairs[8 + j] = _mm512_shuffle_f32x4(low, high, 0xdd);
    pairs[4 + j] = _mm512_shuffle_f32x4(low_odd, high_odd, 0x88);
    pairs[12 + j] = _mm512_shuffle_f32x4(low_odd, high_odd, 0xdd);
  }
  for (int i = 0; i < 16; ++i)
    if (columns >> i & 1) _mm512_storeu_ps(out + i * kKeyTile, pairs[i]);
}

inline void transpose(const float* words, int64_t depth, float* out) {
  for (int64_t begin = 0; begin < depth; begin += 16) {
    const int64_t left = depth - begin < 16 ? depth - begin : 16;
    const __mmask16 columns = static_cast<__mmask16>((1u << left) - 1u);
    for (int64_t key = 0; key < kKeyTile; key += 16)
      transpose_block(words + key * depth + begin, depth, columns, out + begin * kKeyTile + key);
  }
}
