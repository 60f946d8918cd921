// What the quantizer's kernels need of AVX2 beside vector_avx2.inl; see quantizer_avx512.inl.

// Columns of a GPTQ block whose sums fit in the 16 registers, two vectors each.
constexpr int kColumnsAtOnce = 4;

inline void store_bytes(Vec a, uint8_t* to) {
  const __m256i words = _mm256_cvtps_epi32(a.v);
  const __m128i halves =
      _mm_packus_epi32(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1));
  _mm_storel_epi64(reinterpret_cast<__m128i*>(to), _mm_packus_epi16(halves, halves));
}

struct Split {
  Vec mantissa, octave;
};
inline Split split(Vec x, const float* octaves) {
  const __m256i bits = _mm256_castps_si256(x.v);
  const __m256i exponent =
      _mm256_srai_epi32(_mm256_sub_epi32(bits, _mm256_set1_epi32(0x3f400000)), 23);
  const __m256i mantissa = _mm256_sub_epi32(bits, _mm256_slli_epi32(exponent, 23));
  const __m256i index =
      _mm256_and_si256(_mm256_add_epi32(exponent, _mm256_set1_epi32(kPowerOctaves - 2)),
                       _mm256_set1_epi32(kPowerOctaves - 1));
  return {{_mm256_castsi256_ps(mantissa)}, {_mm256_i32gather_ps(octaves, index, 4)}};
}
