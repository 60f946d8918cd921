// The loss of one candidate of fit_grid(); see quantizer_kernels.h.

// Weights are scaled so that the largest is in [1, 2): an error below this adds nothing to a sum
// that f32 would keep.
constexpr float kLeastError = 0x1p-30f;
constexpr int64_t kLossChunk = 64;

inline Vec power_of(Vec x, const PowerTable& table) {
  const Split parts = split(maximum(magnitude(x), broadcast(kLeastError)), table.octaves);
  Vec polynomial = broadcast(table.coefficients[kPowerDegree]);
  for (int i = kPowerDegree - 1; i >= 0; --i)
    polynomial = fma(polynomial, parts.mantissa, broadcast(table.coefficients[i]));
  return x * x * (polynomial * parts.octave);
}

// Σ term(i, w − ŵ) over the vectors of weights, as far as it is below `limit`.
template <class Term>
inline float sum_of_losses(const float* weights, int64_t count, const CandidateCodes& codes,
                           float limit, Term term) {
  const Vec inverse = broadcast(codes.inverse_scale), minus_scale = broadcast(-codes.scale);
  const Vec lowest = broadcast(codes.lowest), highest = broadcast(codes.highest);
  float loss = 0;
  for (int64_t begin = 0; begin < count; begin += kLossChunk) {
    const int64_t end = begin + kLossChunk < count ? begin + kLossChunk : count;
    Vec total = broadcast(0);
    for (int64_t i = begin; i < end; i += Vec::kWidth) {
      const Vec w = load(weights + i);
      const Vec code = minimum(maximum(round_nearest(w * inverse), lowest), highest);
      total = total + term(i, fma(code, minus_scale, w));
    }
    loss += sum_of(total);
    if (!(loss < limit)) break;
  }
  return loss;
}

float candidate_loss(const float* weights, int64_t count, const CandidateCodes& codes,
                     const PowerTable& table, float limit) {
  return sum_of_losses(weights, count, codes, limit,
                       [&](int64_t, Vec error) { return power_of(error, table); });
}

float weighed_loss(const float* weights, const float* importance, int64_t count,
                   const CandidateCodes& codes, float limit) {
  return sum_of_losses(weights, count, codes, limit,
                       [&](int64_t i, Vec error) { return load(importance + i) * error * error; });
}
