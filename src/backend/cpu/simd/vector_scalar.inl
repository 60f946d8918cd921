// Four floats in plain C++, for processors without AVX2; see vector_avx512.inl. No fused products:
// a library call each.
struct Vec {
  static constexpr int kWidth = 4;
  static constexpr int kTileVectors = 1;
  float v[4];
};

template <class Function>
inline Vec each(Function function) {
  return {{function(0), function(1), function(2), function(3)}};
}

inline Vec broadcast(float x) { return {{x, x, x, x}}; }
inline Vec operator+(Vec a, Vec b) {
  return each([&](int i) { return a.v[i] + b.v[i]; });
}
inline Vec operator-(Vec a, Vec b) {
  return each([&](int i) { return a.v[i] - b.v[i]; });
}
inline Vec operator*(Vec a, Vec b) {
  return each([&](int i) { return a.v[i] * b.v[i]; });
}
inline Vec operator/(Vec a, Vec b) {
  return each([&](int i) { return a.v[i] / b.v[i]; });
}
inline Vec fma(Vec a, Vec b, Vec c) { return a * b + c; }
inline Vec maximum(Vec a, Vec b) {
  return each([&](int i) { return a.v[i] > b.v[i] ? a.v[i] : b.v[i]; });
}
inline Vec minimum(Vec a, Vec b) {
  return each([&](int i) { return a.v[i] < b.v[i] ? a.v[i] : b.v[i]; });
}
inline Vec magnitude(Vec a) {
  return each([&](int i) { return __builtin_fabsf(a.v[i]); });
}
inline Vec round_nearest(Vec a) {
  return each([&](int i) { return __builtin_nearbyintf(a.v[i]); });
}
inline Vec times_power_of_two(Vec a, Vec n) {
  return each([&](int i) {
    const float power = n.v[i];
    return power == power ? __builtin_ldexpf(a.v[i], static_cast<int>(power)) : power;
  });
}
inline Vec select_less(Vec a, Vec b, Vec x, Vec y) {
  return each([&](int i) { return a.v[i] < b.v[i] ? x.v[i] : y.v[i]; });
}
inline Vec number_of_bits(Vec a) {
  return each([&](int i) { return static_cast<float>(std::bit_cast<int32_t>(a.v[i])); });
}
inline Vec bits_of_number(Vec a) {
  return each([&](int i) { return std::bit_cast<float>(static_cast<int32_t>(a.v[i])); });
}
inline float first_of(Vec a) { return a.v[0]; }
inline float sum_of(Vec a) { return (a.v[0] + a.v[1]) + (a.v[2] + a.v[3]); }
inline float largest_of(Vec a) {
  const float left = a.v[0] > a.v[1] ? a.v[0] : a.v[1];
  const float right = a.v[2] > a.v[3] ? a.v[2] : a.v[3];
  return left > right ? left : right;
}

inline float as_float(float x) { return x; }
inline float as_float(bf16 x) { return to_float(x); }
inline float as_float(f16 x) { return to_float(x); }
inline void assign(float value, float* x) { *x = value; }
inline void assign(float value, bf16* x) { *x = to_bf16(value); }
inline void assign(float value, f16* x) { *x = to_f16(value); }

template <class T>
inline Vec load(const T* x, int count) {
  return each([&](int i) { return i < count ? as_float(x[i]) : 0.0f; });
}
template <class T>
inline void store(Vec a, T* x, int count) {
  for (int i = 0; i < count; ++i) assign(a.v[i], x + i);
}
inline Vec load(const float* x) { return {{x[0], x[1], x[2], x[3]}}; }
inline void store(Vec a, float* x) { store(a, x, Vec::kWidth); }

struct DoubleSum {
  double lanes[4] = {};
  void add(Vec a) {
    for (int i = 0; i < Vec::kWidth; ++i) lanes[i] += static_cast<double>(a.v[i]);
  }
  double total() const { return (lanes[0] + lanes[1]) + (lanes[2] + lanes[3]); }
};

inline void reduce_angle(Vec angle, Vec* remainder, Vec* quarters) {
  for (int i = 0; i < Vec::kWidth; ++i) {
    const double wide = static_cast<double>(angle.v[i]);
    const double turns = __builtin_nearbyint(wide * kTwoOverPi);
    quarters->v[i] = static_cast<float>(turns - 4 * __builtin_floor(turns * 0.25));
    remainder->v[i] = static_cast<float>(wide - turns * kHalfPi);
  }
}
