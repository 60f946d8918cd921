// Random GPTQ problems, well and ill conditioned, and how src/quant's solution of each compares
// with the published algorithm in double precision.
#pragma once

#include <array>
#include <cmath>
#include <cstdint>
#include <numbers>
#include <string>
#include <string_view>
#include <vector>

#include "backend/backend.h"
#include "base/half.h"
#include "base/rng.h"
#include "quant/gptq.h"
#include "quant/published_gptq.h"

namespace check_gptq {

using namespace halftone;

// What the inputs of a linear are like. "condition 1e8": eigenvalues of H from 1 down to 1e-8
// before damping, in a random basis; "few tokens": fewer than inputs, so that H has no full rank.
inline constexpr std::array<std::string_view, 7> kInputKinds = {
    "independent", "condition 1e8", "condition 1e12", "few tokens",
    "dead",        "duplicated",    "outliers"};

struct Case {
  std::string_view inputs = "independent";
  Grid grid = {};
  ScaleSearch search = ScaleSearch::power;
  ColumnOrder order = ColumnOrder::activation;
  double damping = 0.01;
  int64_t rows = 16, cols = 160;
  int64_t exact_inputs = Factor::kExactInputs;
  uint64_t seed = 1;
};

inline double normal(Rng& rng) {
  const double radius = std::sqrt(-2 * std::log(1 - rng.uniform()));
  return radius * std::cos(2 * std::numbers::pi * rng.uniform());
}

// Rows of x turned by a random rotation: a product of reflections.
inline void rotate(Rng& rng, int64_t cols, std::vector<double>& x) {
  std::vector<double> axis(static_cast<size_t>(cols));
  for (int reflection = 0; reflection < 6; ++reflection) {
    double squares = 0;
    for (double& a : axis) {
      a = normal(rng);
      squares += a * a;
    }
    for (size_t begin = 0; begin < x.size(); begin += axis.size()) {
      double dot = 0;
      for (size_t i = 0; i < axis.size(); ++i) dot += x[begin + i] * axis[i];
      for (size_t i = 0; i < axis.size(); ++i) x[begin + i] -= 2 * dot / squares * axis[i];
    }
  }
}

// (tokens, cols) inputs, row-major.
inline std::vector<double> make_inputs(Rng& rng, const Case& c) {
  const auto n = static_cast<size_t>(c.cols);
  if (c.inputs.starts_with("condition")) {
    const double condition = c.inputs == "condition 1e8" ? 1e8 : 1e12;
    std::vector<double> x(n * n);
    for (size_t i = 0; i < n; ++i)
      x[i * n + i] =
          std::pow(condition, -0.5 * static_cast<double>(i) / static_cast<double>(n - 1));
    rotate(rng, c.cols, x);
    return x;
  }
  const size_t tokens = c.inputs == "few tokens" ? n / 4 : 2 * n;
  std::vector<double> x(tokens * n);
  std::vector<double> gain(n);
  for (double& g : gain) g = std::exp(normal(rng));
  for (size_t i = 0; i < x.size(); ++i) {
    const size_t column = i % n;
    x[i] = gain[column] * normal(rng);
    if (c.inputs == "dead" && column % 7 == 3) x[i] = 0;
    if (c.inputs == "duplicated" && column >= n / 2) x[i] = x[i - n / 2];
    if (c.inputs == "outliers" && column % 50 == 1) x[i] = 300 * (x[i] + gain[column]);
  }
  return x;
}

struct Outcome {
  int64_t equal_rows = 0, tie_rows = 0, wrong_rows = 0;
  double worst = 0;            // distance of a differing code from half-way, in steps, at most
  double relative_error = 0;   // of our codes, in double precision
  double published_error = 0;  // of the published algorithm's, which went along with ties
  SolveReport report;          // what we say ourselves
};

inline published::Matrix symmetric(const Tensor& lower, double scale) {
  published::Matrix full(lower.rows(), lower.rows());
  for (int64_t i = 0; i < lower.rows(); ++i)
    for (int64_t j = 0; j <= i; ++j)
      full(i, j) = full(j, i) = scale * static_cast<double>(lower.row<float>(i)[j]);
  return full;
}

inline Outcome run_case(Backend& backend, const Case& c, double tie = 1e-3) {
  HostAllocator host;
  Rng rng(c.seed);
  const std::vector<double> inputs = make_inputs(rng, c);
  const auto tokens = static_cast<int64_t>(inputs.size()) / c.cols;
  Tensor x(host, tokens, c.cols, DType::f32), weight(host, c.rows, c.cols, DType::f32);
  for (size_t i = 0; i < inputs.size(); ++i) x.row<float>(0)[i] = static_cast<float>(inputs[i]);
  for (int64_t i = 0; i < c.rows * c.cols; ++i)
    weight.row<float>(0)[i] = round_to_bf16(static_cast<float>(0.02 * normal(rng)));

  Tensor device_x = backend.allocate(tokens, c.cols, DType::f32);
  Tensor device_weight = backend.allocate(c.rows, c.cols, DType::f32);
  backend.upload(x, device_x);
  backend.upload(weight, device_weight);
  Hessian hessian(backend, c.cols);
  hessian.accumulate(device_x);
  Tensor sum(host, c.cols, c.cols, DType::f32);
  backend.download(hessian.sum(), sum);
  const Factor factor =
      Factor::compute(backend, std::move(hessian), c.order, c.damping, c.exact_inputs);
  SolverOptions options;
  options.fit = {.grid = c.grid, .search = c.search};
  options.order = c.order;
  options.damping = c.damping;
  const SolveResult ours = solve_gptq(backend, device_weight, &factor, options);
  const QuantizedMatrix matrix = ours.matrix.download(backend);

  const int64_t groups = matrix.groups();
  published::Problem problem{symmetric(sum, 2.0 / static_cast<double>(tokens)),
                             published::Matrix(c.rows, c.cols),
                             published::Matrix(c.rows, groups),
                             published::Matrix(c.rows, groups),
                             c.grid.group_width(c.cols),
                             c.grid.bits,
                             c.order == ColumnOrder::activation,
                             factor.damping};
  published::Matrix codes(c.rows, c.cols);
  for (size_t i = 0; i < codes.values.size(); ++i) {
    problem.weights.values[i] = static_cast<double>(weight.row<float>(0)[i]);
    codes.values[i] = matrix.codes[i];
  }
  for (size_t i = 0; i < problem.scales.values.size(); ++i) {
    problem.scales.values[i] = static_cast<double>(matrix.scales[i]);
    problem.zeros.values[i] = matrix.zeros[i];
  }
  const published::Result result = published::solve(problem, codes, tie);
  published::Problem nothing = problem;  // every weight rounded to 0: its error is tr(W H Wᵀ)
  std::fill(nothing.scales.values.begin(), nothing.scales.values.end(), 0.0);
  const double energy = published::layer_error(nothing, codes);
  return {result.equal_rows,
          result.tie_rows,
          result.wrong_rows,
          result.worst,
          published::layer_error(problem, codes) / energy,
          published::layer_error(problem, result.codes) / energy,
          ours.report};
}

}  // namespace check_gptq
