// Eight floats in an AVX2 register, with FMA; see vector_avx512.inl.
struct Vec {
  static constexpr int kWidth = 8;
  static constexpr int kTileVectors = 2;
  __m256 v;
};

inline Vec broadcast(float x) { return {_mm256_set1_ps(x)}; }
inline Vec operator+(Vec a, Vec b) { return {_mm256_add_ps(a.v, b.v)}; }
inline Vec operator-(Vec a, Vec b) { return {_mm256_sub_ps(a.v, b.v)}; }
inline Vec operator*(Vec a, Vec b) { return {_mm256_mul_ps(a.v, b.v)}; }
inline Vec operator/(Vec a, Vec b) { return {_mm256_div_ps(a.v, b.v)}; }
inline Vec fma(Vec a, Vec b, Vec c) { return {_mm256_fmadd_ps(a.v, b.v, c.v)}; }
inline Vec maximum(Vec a, Vec b) { return {_mm256_max_ps(a.v, b.v)}; }
inline Vec minimum(Vec a, Vec b) { return {_mm256_min_ps(a.v, b.v)}; }
inline Vec magnitude(Vec a) { return {_mm256_andnot_ps(_mm256_set1_ps(-0.0f), a.v)}; }
inline Vec round_nearest(Vec a) {
  return {_mm256_round_ps(a.v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)};
}
inline __m256 power_of_two(__m256i n) {
  return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(n, _mm256_set1_epi32(127)), 23));
}
// In two factors: neither leaves the range where n lies within ±250.
inline Vec times_power_of_two(Vec a, Vec n) {
  const __m256i whole = _mm256_cvtps_epi32(n.v);
  const __m256i half = _mm256_srai_epi32(whole, 1);
  return {_mm256_mul_ps(_mm256_mul_ps(a.v, power_of_two(half)),
                        power_of_two(_mm256_sub_epi32(whole, half)))};
}
inline Vec select_less(Vec a, Vec b, Vec x, Vec y) {
  return {_mm256_blendv_ps(y.v, x.v, _mm256_cmp_ps(a.v, b.v, _CMP_LT_OQ))};
}
inline Vec number_of_bits(Vec a) { return {_mm256_cvtepi32_ps(_mm256_castps_si256(a.v))}; }
inline Vec bits_of_number(Vec a) { return {_mm256_castsi256_ps(_mm256_cvttps_epi32(a.v))}; }
inline float first_of(Vec a) { return _mm256_cvtss_f32(a.v); }
inline float sum_of(Vec a) {
  const __m128 four = _mm_add_ps(_mm256_castps256_ps128(a.v), _mm256_extractf128_ps(a.v, 1));
  const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
}
inline float largest_of(Vec a) {
  const __m128 four = _mm_max_ps(_mm256_castps256_ps128(a.v), _mm256_extractf128_ps(a.v, 1));
  const __m128 two = _mm_max_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_max_ss(two, _mm_movehdup_ps(two)));
}

inline __m256i first(int count) {
  return _mm256_cmpgt_epi32(_mm256_set1_epi32(count), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}
inline Vec load(const float* x) { return {_mm256_loadu_ps(x)}; }
inline Vec load(const float* x, int count) { return {_mm256_maskload_ps(x, first(count))}; }
inline void store(Vec a, float* x) { _mm256_storeu_ps(x, a.v); }
inline void store(Vec a, float* x, int count) { _mm256_maskstore_ps(x, first(count), a.v); }

inline __m128i load_halves(const void* x, int count) {
  if (count >= Vec::kWidth) return _mm_loadu_si128(static_cast<const __m128i*>(x));
  alignas(16) uint16_t lanes[Vec::kWidth] = {};
  __builtin_memcpy(lanes, x, static_cast<size_t>(count) * sizeof(uint16_t));
  return _mm_load_si128(reinterpret_cast<const __m128i*>(lanes));
}
inline void store_halves(__m128i bits, void* x, int count) {
  if (count >= Vec::kWidth) return _mm_storeu_si128(static_cast<__m128i*>(x), bits);
  alignas(16) uint16_t lanes[Vec::kWidth];
  _mm_store_si128(reinterpret_cast<__m128i*>(lanes), bits);
  __builtin_memcpy(x, lanes, static_cast<size_t>(count) * sizeof(uint16_t));
}

inline Vec load(const bf16* x, int count) {
  return {_mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(load_halves(x, count)), 16))};
}
inline void store(Vec a, bf16* x, int count) {
  const __m256i bits = _mm256_castps_si256(a.v);
  const __m256i odd = _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));
  const __m256i rounded = _mm256_add_epi32(bits, _mm256_add_epi32(odd, _mm256_set1_epi32(0x7fff)));
  const __m256i quiet = _mm256_or_si256(bits, _mm256_set1_epi32(0x400000));
  const __m256i nan = _mm256_castps_si256(_mm256_cmp_ps(a.v, a.v, _CMP_UNORD_Q));
  const __m256i high = _mm256_srli_epi32(_mm256_blendv_epi8(rounded, quiet, nan), 16);
  store_halves(_mm_packus_epi32(_mm256_castsi256_si128(high), _mm256_extracti128_si256(high, 1)), x,
               count);
}
inline Vec load(const f16* x, int count) { return {_mm256_cvtph_ps(load_halves(x, count))}; }
inline void store(Vec a, f16* x, int count) {
  store_halves(_mm256_cvtps_ph(a.v, _MM_FROUND_TO_NEAREST_INT), x, count);
}

struct DoubleSum {
  DoubleSum() : low(_mm256_setzero_pd()), high(low) {}
  __m256d low, high;
  void add(Vec a) {
    low = _mm256_add_pd(low, _mm256_cvtps_pd(_mm256_castps256_ps128(a.v)));
    high = _mm256_add_pd(high, _mm256_cvtps_pd(_mm256_extractf128_ps(a.v, 1)));
  }
  double total() const {
    const __m256d four = _mm256_add_pd(low, high);
    const __m128d two = _mm_add_pd(_mm256_castpd256_pd128(four), _mm256_extractf128_pd(four, 1));
    return _mm_cvtsd_f64(_mm_add_sd(two, _mm_unpackhi_pd(two, two)));
  }
};

inline __m128 quarter_turns(__m128 angle, __m128* quarters) {
  const __m256d wide = _mm256_cvtps_pd(angle);
  const __m256d turns = _mm256_round_pd(_mm256_mul_pd(wide, _mm256_set1_pd(kTwoOverPi)),
                                        _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  const __m256d cycles = _mm256_floor_pd(_mm256_mul_pd(turns, _mm256_set1_pd(0.25)));
  *quarters = _mm256_cvtpd_ps(_mm256_fnmadd_pd(cycles, _mm256_set1_pd(4), turns));
  return _mm256_cvtpd_ps(_mm256_fnmadd_pd(turns, _mm256_set1_pd(kHalfPi), wide));
}

inline void reduce_angle(Vec angle, Vec* remainder, Vec* quarters) {
  __m128 low_quarters, high_quarters;
  const __m128 low = quarter_turns(_mm256_castps256_ps128(angle.v), &low_quarters);
  const __m128 high = quarter_turns(_mm256_extractf128_ps(angle.v, 1), &high_quarters);
  remainder->v = _mm256_set_m128(high, low);
  quarters->v = _mm256_set_m128(high_quarters, low_quarters);
}
