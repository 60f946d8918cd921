// The published GPTQ (Frantar et al., arXiv 2210.17323, Algorithm 1; the authors' gptq.py with
// static_groups) in double precision and plain loops: Cholesky, inverse, Cholesky of the inverse,
// columns from first to last. It shares no code and no formula with src/quant, which it is there to
// check; tests and tools/check_gptq alone include it. Slow: O(in³) scalar operations.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <numeric>
#include <stdexcept>
#include <vector>

namespace published {

struct Matrix {
  int64_t rows = 0, cols = 0;
  std::vector<double> values;
  Matrix(int64_t r, int64_t c) : rows(r), cols(c), values(static_cast<size_t>(r * c)) {}
  double& operator()(int64_t r, int64_t c) { return values[static_cast<size_t>(r * cols + c)]; }
  double operator()(int64_t r, int64_t c) const {
    return values[static_cast<size_t>(r * cols + c)];
  }
};

// Lower C with a = C Cᵀ.
inline Matrix cholesky(const Matrix& a) {
  const int64_t n = a.rows;
  Matrix c(n, n);
  for (int64_t i = 0; i < n; ++i)
    for (int64_t j = 0; j <= i; ++j) {
      double sum = a(i, j);
      for (int64_t k = 0; k < j; ++k) sum -= c(i, k) * c(j, k);
      if (i == j && !(sum > 0)) throw std::runtime_error("not positive definite");
      c(i, j) = i == j ? std::sqrt(sum) : sum / c(j, j);
    }
  return c;
}

// a⁻¹ from its Cholesky factor: C⁻ᵀ C⁻¹.
inline Matrix inverse_from_cholesky(const Matrix& c) {
  const int64_t n = c.rows;
  Matrix inverse_t(n, n);  // (C⁻¹)ᵀ: row j holds column j of C⁻¹
  for (int64_t j = 0; j < n; ++j)
    for (int64_t i = j; i < n; ++i) {
      double sum = i == j ? 1 : 0;
      for (int64_t k = j; k < i; ++k) sum -= c(i, k) * inverse_t(j, k);
      inverse_t(j, i) = sum / c(i, i);
    }
  Matrix inverse(n, n);
  for (int64_t i = 0; i < n; ++i)
    for (int64_t j = 0; j <= i; ++j) {
      double sum = 0;
      for (int64_t k = i; k < n; ++k) sum += inverse_t(i, k) * inverse_t(j, k);
      inverse(i, j) = inverse(j, i) = sum;
    }
  return inverse;
}

// What the published algorithm is given: H = (2/N) Σxᵀx (symmetric, undamped); weights (out, in);
// scales and zeros (out, in / group), fitted beforehand (static groups).
struct Problem {
  Matrix hessian, weights, scales, zeros;
  int64_t group = 128;
  int bits = 4;
  bool activation_order = true;
  double damping = 0.01;
};

struct Result {
  Matrix codes;  // (out, in), original order
  int64_t equal_rows = 0, tie_rows = 0, wrong_rows = 0;
  double worst = 0;  // how far from a half-way point, in steps, a code that differed was at most
};

// A row of another solution, while the published algorithm goes along it. Where the two codes
// differ it must have been a tie: the value within `tie` steps of half-way between them. Then the
// other code is taken, so that what follows can be held against it as well.
class Witness {
 public:
  Witness(const Matrix& codes, int64_t row, double tie) : codes_(codes), row_(row), tie_(tie) {}

  // `target` is the value to be rounded, in steps, plus the zero.
  double judge(int64_t column, double target, double code) {
    const double other = codes_(row_, column);
    if (other == code || wrong_) return code;
    const double distance = std::abs(target - std::floor(target) - 0.5);
    wrong_ = std::abs(other - code) != 1 || distance > tie_;
    worst_ = std::max(worst_, std::abs(other - code) == 1 ? distance : 1.0);
    differs_ = true;
    return wrong_ ? code : other;
  }
  void report(Result& result) const {
    result.worst = std::max(result.worst, worst_);
    ++(wrong_ ? result.wrong_rows : differs_ ? result.tie_rows : result.equal_rows);
  }

 private:
  const Matrix& codes_;
  int64_t row_;
  double tie_, worst_ = 0;
  bool differs_ = false, wrong_ = false;
};

// Solves p, going along with `other` (out, in) codes through ties.
inline Result solve(const Problem& p, const Matrix& other, double tie) {
  const int64_t n = p.hessian.rows, rows = p.weights.rows;
  Matrix h = p.hessian, w = p.weights;
  for (int64_t i = 0; i < n; ++i)
    if (h(i, i) == 0) {
      h(i, i) = 1;
      for (int64_t r = 0; r < rows; ++r) w(r, i) = 0;
    }
  std::vector<int64_t> order(static_cast<size_t>(n));
  std::iota(order.begin(), order.end(), 0);
  if (p.activation_order)
    std::stable_sort(order.begin(), order.end(),
                     [&](int64_t a, int64_t b) { return h(a, a) > h(b, b); });
  double mean = 0;
  for (int64_t i = 0; i < n; ++i) mean += h(i, i) / static_cast<double>(n);

  Matrix permuted(n, n);
  for (int64_t i = 0; i < n; ++i)
    for (int64_t j = 0; j < n; ++j)
      permuted(i, j) = h(order[static_cast<size_t>(i)], order[static_cast<size_t>(j)]) +
                       (i == j ? p.damping * mean : 0);
  // The upper factor of the inverse, H⁻¹ = Uᵀ U, is the transposed lower one.
  const Matrix lower = cholesky(inverse_from_cholesky(cholesky(permuted)));

  const double most = (1 << p.bits) - 1;
  Result result{Matrix(rows, n)};
  for (int64_t r = 0; r < rows; ++r) {
    Witness witness(other, r, tie);
    std::vector<double> row(static_cast<size_t>(n));
    for (int64_t i = 0; i < n; ++i)
      row[static_cast<size_t>(i)] = w(r, order[static_cast<size_t>(i)]);
    for (int64_t i = 0; i < n; ++i) {
      const int64_t column = order[static_cast<size_t>(i)];
      const double scale = p.scales(r, column / p.group), zero = p.zeros(r, column / p.group);
      const double value = row[static_cast<size_t>(i)];
      const double rounded = std::clamp(std::nearbyint(value / scale) + zero, 0.0, most);
      const double code = witness.judge(column, value / scale + zero, rounded);
      result.codes(r, column) = code;
      const double error = (value - scale * (code - zero)) / lower(i, i);
      for (int64_t j = i; j < n; ++j) row[static_cast<size_t>(j)] -= error * lower(j, i);
    }
    witness.report(result);
  }
  return result;
}

// tr(Δ H Δᵀ), Δ = weights − scale · (codes − zero), with the undamped H.
inline double layer_error(const Problem& p, const Matrix& codes) {
  const int64_t n = p.hessian.rows;
  double total = 0;
  std::vector<double> delta(static_cast<size_t>(n));
  for (int64_t r = 0; r < p.weights.rows; ++r) {
    for (int64_t i = 0; i < n; ++i)
      delta[static_cast<size_t>(i)] =
          p.weights(r, i) - p.scales(r, i / p.group) * (codes(r, i) - p.zeros(r, i / p.group));
    for (int64_t i = 0; i < n; ++i) {
      double sum = 0;
      for (int64_t j = 0; j < n; ++j) sum += p.hessian(i, j) * delta[static_cast<size_t>(j)];
      total += sum * delta[static_cast<size_t>(i)];
    }
  }
  return total;
}

}  // namespace published
