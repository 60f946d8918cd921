// Words are pairs of bf16 of neighbouring dimensions (keys and queries) or of neighbouring keys
// (values and weights).
struct Words {
  static constexpr int kPair = 2;
  static constexpr int kExponentialTerms = 4;

  static Vec multiply_add(Vec sum, Vec a, Vec b) {
    return {
        _mm512_dpbf16_ps(sum.v, reinterpret_cast<__m512bh>(a.v), reinterpret_cast<__m512bh>(b.v))};
  }
  static void copy_words(Source x, int64_t count, float* words) {
    const bf16* elements = static_cast<const bf16*>(x.data);
    for (int64_t i = 0; i < count; i += 32) {
      const int64_t left = count - i < 32 ? count - i : 32;
      const __m512i bits =
          _mm512_maskz_loadu_epi16(static_cast<__mmask32>((uint64_t{1} << left) - 1), elements + i);
      _mm512_mask_storeu_epi32(words + i / 2, first(static_cast<int>((left + 1) / 2)), bits);
    }
  }
  static __m512i load_bits(Source x, int64_t i, int count) {
    if (!x.data) return _mm512_setzero_si512();
    return _mm512_cvtepu16_epi32(
        _mm256_maskz_loadu_epi16(first(count), static_cast<const bf16*>(x.data) + i));
  }
  static void interleave(Source even, Source odd, int64_t count, float* words) {
    for_vectors(count, [&](int64_t i, int lanes) {
      const __m512i high = _mm512_slli_epi32(load_bits(odd, i, lanes), 16);
      _mm512_mask_storeu_epi32(words + i, first(lanes),
                               _mm512_or_si512(load_bits(even, i, lanes), high));
    });
  }
  static void store_weights(Vec weights, int64_t i, float* row) {
    const __m256bh bits = _mm512_cvtneps_pbh(weights.v);
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(row + i / 2), reinterpret_cast<__m256i>(bits));
  }
};
