// Sixteen floats in an AVX-512 register. What a kernel needs of an instruction set; vector_avx2.inl
// and vector_scalar.inl offer the same.
struct Vec {
  static constexpr int kWidth = 16;
  static constexpr int kTileVectors = 4;  // columns of a register tile of kRowTile rows, in vectors
  __m512 v;
};

inline __mmask16 first(int count) { return static_cast<__mmask16>((1u << count) - 1u); }

inline Vec broadcast(float x) { return {_mm512_set1_ps(x)}; }
inline Vec operator+(Vec a, Vec b) { return {_mm512_add_ps(a.v, b.v)}; }
inline Vec operator-(Vec a, Vec b) { return {_mm512_sub_ps(a.v, b.v)}; }
inline Vec operator*(Vec a, Vec b) { return {_mm512_mul_ps(a.v, b.v)}; }
inline Vec operator/(Vec a, Vec b) { return {_mm512_div_ps(a.v, b.v)}; }
inline Vec fma(Vec a, Vec b, Vec c) { return {_mm512_fmadd_ps(a.v, b.v, c.v)}; }
// b where either is NaN.
inline Vec maximum(Vec a, Vec b) { return {_mm512_max_ps(a.v, b.v)}; }
inline Vec minimum(Vec a, Vec b) { return {_mm512_min_ps(a.v, b.v)}; }
inline Vec magnitude(Vec a) { return {_mm512_abs_ps(a.v)}; }
inline Vec round_nearest(Vec a) {
  return {_mm512_roundscale_ps(a.v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)};
}
// a · 2^n for whole n: infinity above the range, zero below.
inline Vec times_power_of_two(Vec a, Vec n) { return {_mm512_scalef_ps(a.v, n.v)}; }
// a < b ? x : y, lane by lane.
inline Vec select_less(Vec a, Vec b, Vec x, Vec y) {
  return {_mm512_mask_blend_ps(_mm512_cmp_ps_mask(a.v, b.v, _CMP_LT_OQ), y.v, x.v)};
}
// The bits of a float as a whole number, and back, cut off.
inline Vec number_of_bits(Vec a) { return {_mm512_cvtepi32_ps(_mm512_castps_si512(a.v))}; }
inline Vec bits_of_number(Vec a) { return {_mm512_castsi512_ps(_mm512_cvttps_epi32(a.v))}; }
inline float first_of(Vec a) { return _mm512_cvtss_f32(a.v); }
inline float sum_of(Vec a) { return _mm512_reduce_add_ps(a.v); }
inline float largest_of(Vec a) { return _mm512_reduce_max_ps(a.v); }

inline Vec load(const float* x) { return {_mm512_loadu_ps(x)}; }
inline Vec load(const float* x, int count) {
  return {count == Vec::kWidth ? _mm512_loadu_ps(x) : _mm512_maskz_loadu_ps(first(count), x)};
}
inline void store(Vec a, float* x) { _mm512_storeu_ps(x, a.v); }
inline void store(Vec a, float* x, int count) {
  if (count == Vec::kWidth) return _mm512_storeu_ps(x, a.v);
  _mm512_mask_storeu_ps(x, first(count), a.v);
}

// Whole vectors without a mask: it costs a round through the general registers.
inline __m256i load_halves(const void* x, int count) {
  if (count == Vec::kWidth) return _mm256_loadu_si256(static_cast<const __m256i*>(x));
  return _mm256_maskz_loadu_epi16(first(count), x);
}
inline void store_halves(__m256i bits, void* x, int count) {
  if (count == Vec::kWidth) return _mm256_storeu_si256(static_cast<__m256i*>(x), bits);
  _mm256_mask_storeu_epi16(x, first(count), bits);
}
inline Vec load(const bf16* x, int count) {
  return {_mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(load_halves(x, count)), 16))};
}
inline __m256i to_bf16_bits(Vec a) {
  const __m512i bits = _mm512_castps_si512(a.v);
  const __m512i odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
  const __m512i rounded = _mm512_add_epi32(bits, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff)));
  const __m512i quiet = _mm512_or_si512(bits, _mm512_set1_epi32(0x400000));
  const __mmask16 nan = _mm512_cmp_ps_mask(a.v, a.v, _CMP_UNORD_Q);
  return _mm512_cvtepi32_epi16(_mm512_srli_epi32(_mm512_mask_blend_epi32(nan, rounded, quiet), 16));
}
inline void store(Vec a, bf16* x, int count) { store_halves(to_bf16_bits(a), x, count); }
inline Vec load(const f16* x, int count) { return {_mm512_cvtph_ps(load_halves(x, count))}; }
inline void store(Vec a, f16* x, int count) {
  store_halves(_mm512_cvtps_ph(a.v, _MM_FROUND_TO_NEAREST_INT), x, count);
}

// Sums of sixteen lanes in f64.
struct DoubleSum {
  DoubleSum() : low(_mm512_setzero_pd()), high(low) {}
  __m512d low, high;
  void add(Vec a) {
    low = _mm512_add_pd(low, _mm512_cvtps_pd(_mm512_castps512_ps256(a.v)));
    high = _mm512_add_pd(high, _mm512_cvtps_pd(_mm512_extractf32x8_ps(a.v, 1)));
  }
  double total() const { return _mm512_reduce_add_pd(_mm512_add_pd(low, high)); }
};

inline __m256 quarter_turns(__m256 angle, __m256* quarters) {
  const __m512d wide = _mm512_cvtps_pd(angle);
  const __m512d turns = _mm512_roundscale_pd(_mm512_mul_pd(wide, _mm512_set1_pd(kTwoOverPi)),
                                             _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  const __m512d cycles = _mm512_roundscale_pd(_mm512_mul_pd(turns, _mm512_set1_pd(0.25)),
                                              _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC);
  *quarters = _mm512_cvtpd_ps(_mm512_fnmadd_pd(cycles, _mm512_set1_pd(4), turns));
  return _mm512_cvtpd_ps(_mm512_fnmadd_pd(turns, _mm512_set1_pd(kHalfPi), wide));
}

// angle = remainder + π/2 · (quarters + 4 j), |remainder| ≤ π/4, quarters in {0, 1, 2, 3}. In f64:
// an angle of 10^5 keeps ten digits.
inline void reduce_angle(Vec angle, Vec* remainder, Vec* quarters) {
  __m256 low_quarters, high_quarters;
  const __m256 low = quarter_turns(_mm512_castps512_ps256(angle.v), &low_quarters);
  const __m256 high = quarter_turns(_mm512_extractf32x8_ps(angle.v, 1), &high_quarters);
  remainder->v = _mm512_insertf32x8(_mm512_castps256_ps512(low), high, 1);
  quarters->v = _mm512_insertf32x8(_mm512_castps256_ps512(low_quarters), high_quarters, 1);
}
