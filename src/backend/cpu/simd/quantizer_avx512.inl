// Sixteen floats in an AVX-512 register. Included within a namespace, after begin_avx512.inl.
struct Vector {
  static constexpr int kWidth = 16;
  // Columns of a GPTQ block whose sums fit in the 32 registers, two vectors each.
  static constexpr int kColumnsAtOnce = 8;

  __m512 v;

  static Vector load(const float* from) { return {_mm512_loadu_ps(from)}; }
  static Vector all(float value) { return {_mm512_set1_ps(value)}; }
  void store(float* to) const { _mm512_storeu_ps(to, v); }
  // Values are integers in [0, 255].
  void store_bytes(uint8_t* to) const {
    _mm_storeu_si128(reinterpret_cast<__m128i*>(to), _mm512_cvtepi32_epi8(_mm512_cvtps_epi32(v)));
  }
};

inline Vector operator+(Vector a, Vector b) { return {_mm512_add_ps(a.v, b.v)}; }
inline Vector operator-(Vector a, Vector b) { return {_mm512_sub_ps(a.v, b.v)}; }
inline Vector operator*(Vector a, Vector b) { return {_mm512_mul_ps(a.v, b.v)}; }
inline Vector operator/(Vector a, Vector b) { return {_mm512_div_ps(a.v, b.v)}; }
inline Vector smaller(Vector a, Vector b) { return {_mm512_min_ps(a.v, b.v)}; }
inline Vector larger(Vector a, Vector b) { return {_mm512_max_ps(a.v, b.v)}; }
// a · b + c and c − a · b, rounded once.
inline Vector multiply_add(Vector a, Vector b, Vector c) {
  return {_mm512_fmadd_ps(a.v, b.v, c.v)};
}
inline Vector subtract_product(Vector c, Vector a, Vector b) {
  return {_mm512_fnmadd_ps(a.v, b.v, c.v)};
}
inline Vector absolute(Vector a) { return {_mm512_abs_ps(a.v)}; }
inline Vector round_even(Vector a) {
  return {_mm512_roundscale_ps(a.v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)};
}
inline float sum(Vector a) { return _mm512_reduce_add_ps(a.v); }

// x = mantissa · 2^exponent with mantissa in [0.75, 1.5), x normal and positive; `octave` is
// octaves[(exponent + kOctaves − 2) mod kOctaves].
struct Split {
  Vector mantissa, octave;
};
inline Split split(Vector x, const float* octaves) {
  const __m512i bits = _mm512_castps_si512(x.v);
  const __m512i exponent =
      _mm512_srai_epi32(_mm512_sub_epi32(bits, _mm512_set1_epi32(0x3f400000)), 23);
  const __m512i mantissa = _mm512_sub_epi32(bits, _mm512_slli_epi32(exponent, 23));
  const __m512i index = _mm512_add_epi32(exponent, _mm512_set1_epi32(kOctaves - 2));
  return {{_mm512_castsi512_ps(mantissa)},
          {_mm512_permutex2var_ps(_mm512_loadu_ps(octaves), index, _mm512_loadu_ps(octaves + 16))}};
}
