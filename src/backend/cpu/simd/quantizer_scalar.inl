// What the quantizer's kernels need of plain C++ beside vector_scalar.inl; see
// quantizer_avx512.inl.

constexpr int kColumnsAtOnce = 4;

inline void store_bytes(Vec a, uint8_t* to) {
  for (int i = 0; i < Vec::kWidth; ++i) to[i] = static_cast<uint8_t>(a.v[i]);
}

struct Split {
  Vec mantissa, octave;
};
inline Split split(Vec x, const float* octaves) {
  Split parts = {};
  for (int i = 0; i < Vec::kWidth; ++i) {
    const int32_t bits = __builtin_bit_cast(int32_t, x.v[i]);
    const int32_t exponent = (bits - 0x3f400000) >> 23;
    parts.mantissa.v[i] = __builtin_bit_cast(float, bits - exponent * (1 << 23));
    parts.octave.v[i] = octaves[(exponent + kPowerOctaves - 2) & (kPowerOctaves - 1)];
  }
  return parts;
}
