// The quantizer's operations on a GPU at the sizes of QwQ-32B's layers, each as time, rate and
// percent of a ceiling that is measured in the same run. Medians; every sample waits for the
// device.
#include <fmt/core.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <functional>
#include <numeric>
#include <vector>

#include "backend/backend.h"
#include "base/error.h"
#include "base/half.h"
#include "quant/device_matrix.h"
#include "quant/factor.h"
#include "quant/gptq.h"
#include "quant/hessian.h"

namespace halftone {
namespace {

constexpr int64_t kTokens = 262144;  // 128 sequences of 2048

class Bench {
 public:
  explicit Bench(Backend& backend) : backend_(backend) {
    word_ = backend.allocate(1, 1, DType::f32);
    backend.fill(word_, 0);
  }

  // Median seconds of body, after one run that does not count; `prepare` runs before each, untimed.
  double seconds(int samples, const std::function<void()>& body,
                 const std::function<void()>& prepare = {}) {
    std::vector<double> times;
    for (int i = 0; i <= samples; ++i) {
      if (prepare) prepare();
      wait();
      const auto begin = std::chrono::steady_clock::now();
      body();
      wait();
      const auto end = std::chrono::steady_clock::now();
      if (i > 0) times.push_back(std::chrono::duration<double>(end - begin).count());
    }
    std::ranges::sort(times);
    return times[times.size() / 2];
  }

  Tensor random(int64_t rows, int64_t cols, DType dtype, float scale = 1) {
    Tensor values = backend_.allocate(rows, cols, dtype);
    const int64_t chunk = std::min<int64_t>(rows, std::max<int64_t>(1, (1 << 24) / cols));
    std::vector<float> host(static_cast<size_t>(chunk * cols));
    for (int64_t row = 0; row < rows; row += chunk) {
      const int64_t count = std::min(chunk, rows - row);
      for (float& value : host) value = scale * normal();
      backend_.upload({host.data(), count, cols, cols, DType::f32},
                      values.view().rows_of(row, row + count));
    }
    return values;
  }

  void measure_ceilings() {
    constexpr int64_t n = 8192;
    {
      const Tensor x = random(n, n, DType::bf16);
      const Tensor y = backend_.allocate(n, n, DType::f32);
      HostAllocator host;
      Tensor w(host, n, n, DType::bf16);
      for (int64_t i = 0; i < n * n; ++i) w.row<bf16>(0)[i] = to_bf16(normal());
      const auto weight = backend_.prepare(w, DType::bf16);
      const double spent = seconds(15,
                                   [&] {
                                     for (int i = 0; i < 10; ++i)
                                       backend_.linear(x, *weight, {}, y);
                                   }) /
                           10;
      bf16_ = 2.0 * n * n * n / spent;
      fmt::print("{:<44} {:9.3f} ms {:8.1f} TFLOP/s\n",
                 "ceiling: bf16 product 8192^3, ten at a time", spent * 1e3, bf16_ * 1e-12);
    }
    const int64_t bytes = int64_t{4} << 30;
    const Tensor from = backend_.allocate(1024, bytes / 4096, DType::f32);
    const Tensor to = backend_.allocate(1024, bytes / 4096, DType::f32);
    backend_.fill(from, 1);
    const double spent = seconds(9, [&] { backend_.copy(from, to); });
    memory_ = 2.0 * static_cast<double>(bytes) / spent;
    fmt::print("{:<44} {:9.3f} ms {:8.1f} GB/s\n", "ceiling: copy of 4 GiB, read and written",
               spent * 1e3, memory_ * 1e-9);
  }

  void products(const std::string& name, double spent, double flops) {
    fmt::print("{:<44} {:9.3f} ms {:8.1f} TFLOP/s {:4.0f}% of bf16\n", name, spent * 1e3,
               flops / spent * 1e-12, 100 * flops / spent / bf16_);
    std::fflush(stdout);
  }
  void bytes(const std::string& name, double spent, double bytes) {
    fmt::print("{:<44} {:9.3f} ms {:8.1f} GB/s    {:4.0f}% of copy\n", name, spent * 1e3,
               bytes / spent * 1e-9, 100 * bytes / spent / memory_);
    std::fflush(stdout);
  }

  // What 128 sequences of 2048 tokens cost; returns the Hessian.
  Hessian hessian(int64_t inputs, int64_t batch) {
    const Tensor x = random(batch, inputs, DType::bf16);
    Hessian sum(backend_, inputs);
    const int calls = static_cast<int>(kTokens / batch);
    const double spent = seconds(3, [&] {
      for (int i = 0; i < calls; ++i) sum.accumulate(x);
    });
    const double size = static_cast<double>(inputs);
    products(fmt::format("hessian {}, {} x {} tokens", inputs, calls, batch), spent,
             static_cast<double>(kTokens) * size * (size + 1));
    return sum;
  }

  Factor factor(Hessian sum) {
    const int64_t n = sum.inputs();
    const double size = static_cast<double>(n);
    std::vector<int32_t> order(static_cast<size_t>(n));
    std::iota(order.begin(), order.end(), 0);
    const auto& diagonal = sum.diagonal();
    std::ranges::stable_sort(order, {},
                             [&](int32_t c) { return diagonal[static_cast<size_t>(c)]; });
    const double mean = std::accumulate(diagonal.begin(), diagonal.end(), 0.0) / size;
    {
      const Tensor a = backend_.allocate(n, n, DType::f32);
      const Tensor status = backend_.allocate(1, 1, DType::i32);
      const auto gather = [&] { backend_.gather_symmetric(sum.sum(), order, 1, 0.01 * mean, a); };
      bytes(fmt::format("gather_symmetric {}", n), seconds(5, gather), 4 * size * size);
      products(fmt::format("factor_ldl {}", n),
               seconds(
                   5, [&] { backend_.factor_ldl(a, status); }, gather),
               size * size * size / 3);
    }
    Factor made = Factor::compute(backend_, std::move(sum), ColumnOrder::activation, 0.01);
    if (!made.note.empty()) fmt::print("{}\n", made.note);
    return made;
  }

  // The operations on a matrix of weights that memory bounds.
  void passes(int64_t rows, int64_t cols) {
    const double size = static_cast<double>(rows) * static_cast<double>(cols);
    const std::string shape = fmt::format("{} x {}", rows, cols);
    const Tensor w = random(rows, cols, DType::f32, 0.02f);
    const Tensor out = backend_.allocate(rows, cols, DType::f32);
    const DeviceMatrix matrix(backend_, Grid{}, rows, cols), ordered(backend_, Grid{}, rows, cols);
    std::vector<int32_t> order;
    for (int64_t c = 0; c < cols; ++c) order.push_back(static_cast<int32_t>(c * 7919 % cols));
    const Tensor sum = backend_.allocate(1, 1, DType::f64);
    backend_.fill(sum, 0);
    const std::vector<double> pivots(static_cast<size_t>(cols), 1.0);
    const GridFit fit{};
    const double spent =
        seconds(5, [&] { backend_.fit_grid(w, fit, {}, matrix.scales, matrix.zeros); });
    fmt::print("{:<44} {:9.3f} ms {:8.1f} G candidates/s\n", "fit_grid " + shape, spent * 1e3,
               size * fit.steps / spent * 1e-9);
    const auto pass = [&](const char* name, double moved, const std::function<void()>& body) {
      bytes(fmt::format("{} {}", name, shape), seconds(5, body), moved * size);
    };
    pass("gather_columns", 8, [&] { backend_.gather_columns(w, order, out); });
    pass("encode", 5, [&] { backend_.encode(w, fit.grid, matrix.view()); });
    pass("gather_columns of codes", 2,
         [&] { backend_.gather_columns(matrix.codes, order, ordered.codes); });
    pass("code_errors", 9, [&] { backend_.code_errors(w, matrix.view(), out); });
    pass("add_squares", 4, [&] { backend_.add_squares(w, pivots, sum); });
  }

  // The solver on the whole, and what most of it is.
  void solve(int64_t rows, const Factor& factor) {
    constexpr int64_t kBlock = 128, kSpan = 1024;
    const int64_t cols = factor.inputs(), half = cols / 2;
    const double size = static_cast<double>(rows) * static_cast<double>(cols);
    const std::string shape = fmt::format("{} x {}", rows, cols);
    const Tensor w = random(rows, cols, DType::f32, 0.02f);
    {
      const DeviceMatrix matrix(backend_, Grid{}, rows, cols);
      const Tensor target = backend_.allocate(rows, cols, DType::f32);
      const Tensor errors = backend_.allocate(rows, kSpan, DType::f32);
      backend_.copy(w, target);
      backend_.fit_grid(w, {}, {}, matrix.scales, matrix.zeros);
      const ConstView lower = factor.lower;
      const double block = seconds(9, [&] {
        for (int i = 0; i < 10; ++i)
          backend_.quantize_columns(w, target, lower, {cols - kBlock, cols, matrix.group_of}, {},
                                    matrix.scales, matrix.zeros, matrix.codes,
                                    errors.view().cols_of(0, kBlock));
      });
      fmt::print("{:<44} {:9.3f} ms\n", fmt::format("quantize_columns {} x {}", rows, kBlock),
                 block * 1e2);
      for (const Products kind : {Products::full, Products::coarse})
        products(fmt::format("multiply_add {} x {} x {}{}", rows, half, kSpan,
                             kind == Products::coarse ? ", coarse" : ""),
                 seconds(5,
                         [&] {
                           backend_.multiply_add(errors,
                                                 lower.rows_of(cols - kSpan, cols).cols_of(0, half),
                                                 target.view().cols_of(0, half), kind);
                         }),
                 2.0 * static_cast<double>(rows * half) * kSpan);
    }
    double error = 0;
    const double spent = seconds(3, [&] {
      error = solve_gptq(backend_, w, &factor, {}).report.relative_error.value_or(NAN);
    });
    products(fmt::format("solve_gptq {} (error {:.4f})", shape, error), spent,
             2 * size * static_cast<double>(cols));
  }

 private:
  void wait() {
    float word = 0;
    backend_.download(word_, {&word, 1, 1, 1, DType::f32});
  }

  // Roughly normal, fast: the sum of four random bytes pairs.
  float normal() {
    state_ = state_ * 6364136223846793005u + 1442695040888963407u;
    const uint64_t bits = state_ ^ (state_ >> 29);
    const auto part = [&](int shift) { return static_cast<float>((bits >> shift) & 0xffff); };
    return (part(0) + part(16) + part(32) + part(48) - 131070.0f) * (1 / 37837.0f);
  }

  Backend& backend_;
  Tensor word_;
  uint64_t state_ = 1;
  double bf16_ = 1, memory_ = 1;
};

int run() {
  std::unique_ptr<Backend> backend;
  try {
    backend = make_backend("cuda", {});
  } catch (const Error& error) {
    fmt::print("skipped: {}\n", error.what());
    return 0;
  }
  Bench bench(*backend);
  bench.measure_ceilings();
  bench.hessian(5120, 16384);
  {
    const Factor factor = bench.factor(bench.hessian(5120, 2048));
    bench.solve(7168, factor);
  }
  bench.passes(5120, 27648);
  bench.hessian(27648, 2048);
  const Factor factor = bench.factor(bench.hessian(27648, 16384));
  bench.solve(5120, factor);
  return 0;
}

}  // namespace
}  // namespace halftone

int main() { return halftone::run(); }
