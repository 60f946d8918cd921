// The loss of one candidate, Σ |w − ŵ|^power; fit_grid.cpp includes it once for each instruction
// set.

// |x|^power = x² · m^(power−2) · 2^(e·(power−2)) with |x| = m · 2^e: a polynomial and a table.
inline Vector power_of(Vector x, const PowerTable& table) {
  const Split parts = split(larger(absolute(x), Vector::all(kLeastError)), table.octaves);
  Vector polynomial = Vector::all(table.coefficients[kDegree]);
  for (int i = kDegree - 1; i >= 0; --i)
    polynomial = multiply_add(polynomial, parts.mantissa, Vector::all(table.coefficients[i]));
  return x * x * (polynomial * parts.octave);
}

// Of `count` weights, a multiple of kPadding. Stops early, with a partial sum, once the loss is no
// longer below `limit`: terms are not negative, so the whole sum would not be either.
float group_loss(const float* weights, int64_t count, const CandidateCodes& codes,
                 const PowerTable& table, float limit) {
  const Vector inverse = Vector::all(codes.inverse_scale), scale = Vector::all(codes.scale);
  const Vector lowest = Vector::all(codes.lowest), highest = Vector::all(codes.highest);
  float loss = 0;
  for (int64_t begin = 0; begin < count; begin += kLossChunk) {
    const int64_t end = begin + kLossChunk < count ? begin + kLossChunk : count;
    Vector total = Vector::all(0);
    for (int64_t i = begin; i < end; i += Vector::kWidth) {
      const Vector w = Vector::load(weights + i);
      const Vector code = smaller(larger(round_even(w * inverse), lowest), highest);
      total = total + power_of(subtract_product(w, code, scale), table);
    }
    loss += sum(total);
    if (!(loss < limit)) break;
  }
  return loss;
}
