// Eight floats in an AVX register. Included within a namespace, after begin_avx2.inl.
struct Vector {
  static constexpr int kWidth = 8;
  // Columns of a GPTQ block whose sums fit in the 16 registers, two vectors each.
  static constexpr int kColumnsAtOnce = 4;

  __m256 v;

  static Vector load(const float* from) { return {_mm256_loadu_ps(from)}; }
  static Vector all(float value) { return {_mm256_set1_ps(value)}; }
  void store(float* to) const { _mm256_storeu_ps(to, v); }
  // Values are integers in [0, 255].
  void store_bytes(uint8_t* to) const {
    const __m256i words = _mm256_cvtps_epi32(v);
    const __m128i halves =
        _mm_packus_epi32(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1));
    _mm_storel_epi64(reinterpret_cast<__m128i*>(to), _mm_packus_epi16(halves, halves));
  }
};

inline Vector operator+(Vector a, Vector b) { return {_mm256_add_ps(a.v, b.v)}; }
inline Vector operator-(Vector a, Vector b) { return {_mm256_sub_ps(a.v, b.v)}; }
inline Vector operator*(Vector a, Vector b) { return {_mm256_mul_ps(a.v, b.v)}; }
inline Vector operator/(Vector a, Vector b) { return {_mm256_div_ps(a.v, b.v)}; }
inline Vector smaller(Vector a, Vector b) { return {_mm256_min_ps(a.v, b.v)}; }
inline Vector larger(Vector a, Vector b) { return {_mm256_max_ps(a.v, b.v)}; }
// a · b + c and c − a · b, rounded once.
inline Vector multiply_add(Vector a, Vector b, Vector c) {
  return {_mm256_fmadd_ps(a.v, b.v, c.v)};
}
inline Vector subtract_product(Vector c, Vector a, Vector b) {
  return {_mm256_fnmadd_ps(a.v, b.v, c.v)};
}
inline Vector absolute(Vector a) { return {_mm256_andnot_ps(_mm256_set1_ps(-0.0f), a.v)}; }
inline Vector round_even(Vector a) {
  return {_mm256_round_ps(a.v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)};
}
inline float sum(Vector a) {
  const __m128 four = _mm_add_ps(_mm256_castps256_ps128(a.v), _mm256_extractf128_ps(a.v, 1));
  const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
}

// x = mantissa · 2^exponent with mantissa in [0.75, 1.5), x normal and positive; `octave` is
// octaves[(exponent + kOctaves − 2) mod kOctaves].
struct Split {
  Vector mantissa, octave;
};
inline Split split(Vector x, const float* octaves) {
  const __m256i bits = _mm256_castps_si256(x.v);
  const __m256i exponent =
      _mm256_srai_epi32(_mm256_sub_epi32(bits, _mm256_set1_epi32(0x3f400000)), 23);
  const __m256i mantissa = _mm256_sub_epi32(bits, _mm256_slli_epi32(exponent, 23));
  const __m256i index = _mm256_and_si256(
      _mm256_add_epi32(exponent, _mm256_set1_epi32(kOctaves - 2)), _mm256_set1_epi32(kOctaves - 1));
  return {{_mm256_castsi256_ps(mantissa)}, {_mm256_i32gather_ps(octaves, index, 4)}};
}
