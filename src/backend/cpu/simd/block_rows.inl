// The search of backend/block_search.h over vectors of groups.
struct VecLanes {
  static constexpr int kParts = kBlockLanes / Vec::kWidth;
  Vec parts[kParts];

  VecLanes(float x = 0) {
    for (Vec& part : parts) part = broadcast(x);
  }
  template <class Function>
  static VecLanes of_each(const Function& function) {
    VecLanes out;
    for (int i = 0; i < kParts; ++i) out.parts[i] = function(i);
    return out;
  }
  static VecLanes load(const float* x) {
    return of_each([x](int i) { return simd::load(x + i * Vec::kWidth); });
  }
  void store(float* x) const {
    for (int i = 0; i < kParts; ++i) simd::store(parts[i], x + i * Vec::kWidth);
  }
};

inline VecLanes operator+(const VecLanes& a, const VecLanes& b) {
  return VecLanes::of_each([&](int i) { return a.parts[i] + b.parts[i]; });
}
inline VecLanes operator-(const VecLanes& a, const VecLanes& b) {
  return VecLanes::of_each([&](int i) { return a.parts[i] - b.parts[i]; });
}
inline VecLanes operator*(const VecLanes& a, const VecLanes& b) {
  return VecLanes::of_each([&](int i) { return a.parts[i] * b.parts[i]; });
}
inline VecLanes operator/(const VecLanes& a, const VecLanes& b) {
  return VecLanes::of_each([&](int i) { return a.parts[i] / b.parts[i]; });
}
inline VecLanes where_less(const VecLanes& a, const VecLanes& b, const VecLanes& x,
                           const VecLanes& y) {
  return VecLanes::of_each(
      [&](int i) { return select_less(a.parts[i], b.parts[i], x.parts[i], y.parts[i]); });
}
// Vec's take their second operand where either is NaN, or both are equal.
inline VecLanes lesser(const VecLanes& a, const VecLanes& b) {
  return VecLanes::of_each([&](int i) { return minimum(b.parts[i], a.parts[i]); });
}
inline VecLanes greater(const VecLanes& a, const VecLanes& b) {
  return VecLanes::of_each([&](int i) { return maximum(b.parts[i], a.parts[i]); });
}
inline bool any_above_zero(const VecLanes& x) {
  for (const Vec& part : x.parts)
    if (largest_of(part) > 0) return true;
  return false;
}
inline VecLanes number_of_bits(const VecLanes& x) {
  return VecLanes::of_each([&](int i) { return number_of_bits(x.parts[i]); });
}
inline VecLanes bits_of_number(const VecLanes& x) {
  return VecLanes::of_each([&](int i) { return bits_of_number(x.parts[i]); });
}
inline VecLanes storable_in_f16(const VecLanes& x) {
  float lanes[kBlockLanes];
  x.store(lanes);
  for (float& lane : lanes) lane = halftone::storable_in_f16(lane);
  return VecLanes::load(lanes);
}

void fit_block_row(const BlockGrid& grid, const BlockRow& row) {
  BlockLanes<VecLanes>(grid).fit(row);
}
