// One float: for processors without AVX2. Included within a namespace.
struct Vector {
  static constexpr int kWidth = 1;
  static constexpr int kColumnsAtOnce = 4;  // of a GPTQ block

  float v;

  static Vector load(const float* from) { return {*from}; }
  static Vector all(float value) { return {value}; }
  void store(float* to) const { *to = v; }
  void store_bytes(uint8_t* to) const { *to = static_cast<uint8_t>(v); }
};

inline Vector operator+(Vector a, Vector b) { return {a.v + b.v}; }
inline Vector operator-(Vector a, Vector b) { return {a.v - b.v}; }
inline Vector operator*(Vector a, Vector b) { return {a.v * b.v}; }
inline Vector operator/(Vector a, Vector b) { return {a.v / b.v}; }
inline Vector smaller(Vector a, Vector b) { return {a.v < b.v ? a.v : b.v}; }
inline Vector larger(Vector a, Vector b) { return {a.v > b.v ? a.v : b.v}; }
// a · b + c and c − a · b, rounded twice.
inline Vector multiply_add(Vector a, Vector b, Vector c) { return {a.v * b.v + c.v}; }
inline Vector subtract_product(Vector c, Vector a, Vector b) { return {c.v - a.v * b.v}; }
inline Vector absolute(Vector a) { return {__builtin_fabsf(a.v)}; }
inline Vector round_even(Vector a) { return {__builtin_nearbyintf(a.v)}; }
inline float sum(Vector a) { return a.v; }

// x = mantissa · 2^exponent with mantissa in [0.75, 1.5), x normal and positive; `octave` is
// octaves[(exponent + kOctaves − 2) mod kOctaves].
struct Split {
  Vector mantissa, octave;
};
inline Split split(Vector x, const float* octaves) {
  const int32_t bits = std::bit_cast<int32_t>(x.v);
  const int32_t exponent = (bits - 0x3f400000) >> 23;
  const int32_t index = (exponent + kOctaves - 2) & (kOctaves - 1);
  return {{std::bit_cast<float>(bits - exponent * (1 << 23))}, {octaves[index]}};
}
