// What the quantizer's kernels need of AVX-512 beside vector_avx512.inl.

// Columns of a GPTQ block whose sums fit in the 32 registers, two vectors each.
constexpr int kColumnsAtOnce = 8;

// Lanes are integers in [0, 255].
inline void store_bytes(Vec a, uint8_t* to) {
  _mm_storeu_si128(reinterpret_cast<__m128i*>(to), _mm512_cvtepi32_epi8(_mm512_cvtps_epi32(a.v)));
}

// x = mantissa · 2^exponent with mantissa in [0.75, 1.5), x normal and positive; octave is
// octaves[(exponent + 30) mod 32].
struct Split {
  Vec mantissa, octave;
};
inline Split split(Vec x, const float* octaves) {
  const __m512i bits = _mm512_castps_si512(x.v);
  const __m512i exponent =
      _mm512_srai_epi32(_mm512_sub_epi32(bits, _mm512_set1_epi32(0x3f400000)), 23);
  const __m512i mantissa = _mm512_sub_epi32(bits, _mm512_slli_epi32(exponent, 23));
  const __m512i index = _mm512_add_epi32(exponent, _mm512_set1_epi32(kPowerOctaves - 2));
  return {{_mm512_castsi512_ps(mantissa)},
          {_mm512_permutex2var_ps(_mm512_loadu_ps(octaves), index, _mm512_loadu_ps(octaves + 16))}};
}
