// exp, tanh, erfc, sine and cosine over Vec, in f32.

// 2^x for x ≤ 0, 0 from −150 down (−infinity too); NaN stays. Minimax fits of 2^f on [−1/2, 1/2]
// with relative errors of 2e-7 (kTerms = 5) and 4e-6 (4): below what rounding the result to f32 or
// to bf16 costs.
template <int kTerms>
inline Vec exp2_of_negative(Vec x) {
  x = maximum(broadcast(-151.0f), x);
  const Vec whole = round_nearest(x);
  const Vec f = x - whole;
  Vec y;
  if constexpr (kTerms == 5) {
    y = fma(broadcast(0.0013276472f), f, broadcast(0.0096755415f));
    y = fma(y, f, broadcast(0.0555071328f));
    y = fma(y, f, broadcast(0.240221197f));
    y = fma(y, f, broadcast(0.693146967f));
  } else {
    y = fma(broadcast(0.00957010188f), f, broadcast(0.0559178618f));
    y = fma(y, f, broadcast(0.240247448f));
    y = fma(y, f, broadcast(0.693121815f));
  }
  return times_power_of_two(fma(y, f, broadcast(1.0f)), whole);
}

// e^x, relative error below 2e-7. x − n ln 2 in two parts (Cody and Waite), then the minimax fit of
// e^r on ±(ln 2)/2.
inline Vec exp_of(Vec x) {
  x = minimum(broadcast(89.5f), maximum(broadcast(-104.5f), x));
  const Vec whole = round_nearest(x * broadcast(1.44269504f));
  Vec r = fma(whole, broadcast(-0.693359375f), x);
  r = fma(whole, broadcast(2.12194440e-4f), r);
  Vec y = broadcast(0.0013836846f);
  y = fma(y, r, broadcast(0.00837481591f));
  y = fma(y, r, broadcast(0.0416682256f));
  y = fma(y, r, broadcast(0.166664202f));
  y = fma(y, r, broadcast(0.499999921f));
  y = fma(y, r, broadcast(1.0f));
  return times_power_of_two(fma(y, r, broadcast(1.0f)), whole);
}

// Odd polynomial near zero, where 1 − 2 / (e^2x + 1) cancels (Moshier's Cephes, tanhf).
inline Vec tanh_of(Vec x) {
  const Vec square = x * x;
  Vec y = broadcast(-5.70498872745e-3f);
  y = fma(y, square, broadcast(2.06390887954e-2f));
  y = fma(y, square, broadcast(-5.37397155531e-2f));
  y = fma(y, square, broadcast(1.33314422036e-1f));
  y = fma(y, square, broadcast(-3.33332819422e-1f));
  const Vec small = fma(y * square, x, x);
  const Vec large = broadcast(1.0f) - broadcast(2.0f) / (exp_of(x + x) + broadcast(1.0f));
  return select_less(magnitude(x), broadcast(0.625f), small, large);
}

// erfc, relative error 1.2e-7 before rounding everywhere (Numerical Recipes §6.2, Chebyshev fit).
inline Vec erfc_of(Vec x) {
  const Vec size = magnitude(x);
  const Vec t = broadcast(1.0f) / fma(size, broadcast(0.5f), broadcast(1.0f));
  Vec y = broadcast(0.17087277f);
  y = fma(y, t, broadcast(-0.82215223f));
  y = fma(y, t, broadcast(1.48851587f));
  y = fma(y, t, broadcast(-1.13520398f));
  y = fma(y, t, broadcast(0.27886807f));
  y = fma(y, t, broadcast(-0.18628806f));
  y = fma(y, t, broadcast(0.09678418f));
  y = fma(y, t, broadcast(0.37409196f));
  y = fma(y, t, broadcast(1.00002368f));
  y = fma(y, t, broadcast(-1.26551223f));
  const Vec tail = t * exp_of(y - size * size);
  return select_less(x, broadcast(0.0f), broadcast(2.0f) - tail, tail);
}

// Taylor's terms on ±π/4, exact to f32 (Moshier's Cephes, sinf and cosf).
inline void sine_cosine_of(Vec angle, Vec* sine, Vec* cosine) {
  Vec x, quarters;
  reduce_angle(angle, &x, &quarters);
  const Vec square = x * x;
  Vec s = broadcast(-1.9515295891e-4f);
  s = fma(s, square, broadcast(8.3321608736e-3f));
  s = fma(s, square, broadcast(-1.6666654611e-1f));
  s = fma(s * square, x, x);
  Vec c = broadcast(2.443315711809948e-5f);
  c = fma(c, square, broadcast(-1.388731625493765e-3f));
  c = fma(c, square, broadcast(4.166664568298827e-2f));
  c = fma(c * square, square, fma(square, broadcast(-0.5f), broadcast(1.0f)));
  const Vec zero = broadcast(0.0f);
  const Vec low_sine = select_less(quarters, broadcast(0.5f), s, c);
  const Vec low_cosine = select_less(quarters, broadcast(0.5f), c, zero - s);
  const Vec high_sine = select_less(quarters, broadcast(2.5f), zero - s, zero - c);
  const Vec high_cosine = select_less(quarters, broadcast(2.5f), zero - c, s);
  *sine = select_less(quarters, broadcast(1.5f), low_sine, high_sine);
  *cosine = select_less(quarters, broadcast(1.5f), low_cosine, high_cosine);
}
