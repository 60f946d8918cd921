// Random values: a device that multiplies zeros or constants draws less power, and runs faster than
// it does on weights.
#include "apps/product_rate.h"

#include <algorithm>
#include <cstring>
#include <functional>

#include "base/clock.h"
#include "base/rng.h"

namespace halftone {
namespace {

constexpr int kRounds = 5;
constexpr double kRoundSeconds = 4e-3;  // at least, so that starting costs nothing
constexpr double kLongest = .15;        // a round that takes so long does not grow any more
constexpr double kGain = 1.02;          // growing goes on as long as it gains that much
constexpr int kLargestScale = 16;
constexpr int64_t kRandomRows = 64;  // repeated

struct Operation {
  double work = 0;  // operations or bytes
  std::function<void()> enqueue;
};

double seconds_of(Backend& backend, const Operation& operation, int calls) {
  backend.synchronize();
  const auto start = Clock::now();
  for (int call = 0; call < calls; ++call) operation.enqueue();
  backend.synchronize();
  return seconds_since(start);
}

// Work a second at its best, and how long the last round took.
std::pair<double, double> best_rate(Backend& backend, const Operation& operation) {
  seconds_of(backend, operation, 1);  // warms caches, plans and clocks up
  const double once = seconds_of(backend, operation, 1);
  const int calls = std::clamp(static_cast<int>(kRoundSeconds / std::max(once, 1e-9)), 1, 1000);
  double best = 0, seconds = 0;
  for (int round = 0; round < kRounds; ++round) {
    seconds = seconds_of(backend, operation, calls);
    best = std::max(best, operation.work * calls / seconds);
    if (seconds > kLongest) break;
  }
  return {best, seconds};
}

// `make` an operation of size 1, 2, 4, …
double rate_by_growing(Backend& backend, const std::function<Operation(int64_t)>& make) {
  double best = 0;
  for (int64_t scale = 1; scale <= kLargestScale; scale *= 2) {
    const auto [rate, seconds] = best_rate(backend, make(scale));
    const bool gained = rate > kGain * best;
    best = std::max(best, rate);
    if (!gained || seconds > kLongest) break;
  }
  return best;
}

// (rows, cols) f32 on the host, uniform in [−1, 1), kRandomRows of them repeated.
Tensor random_matrix(Allocator& host, int64_t rows, int64_t cols) {
  Tensor values(host, rows, cols, DType::f32);
  Rng rng(1);
  for (int64_t row = 0; row < rows; ++row) {
    float* out = values.row<float>(row);
    if (row >= kRandomRows)
      std::memcpy(out, values.row<float>(row % kRandomRows),
                  static_cast<size_t>(cols) * sizeof(float));
    else
      for (int64_t i = 0; i < cols; ++i) out[i] = static_cast<float>(2 * rng.uniform() - 1);
  }
  return values;
}

Tensor random_on_device(Backend& backend, int64_t rows, int64_t cols, DType type) {
  HostAllocator host;
  const Tensor values = random_matrix(host, std::min(rows, kRandomRows), cols);
  Tensor device = backend.allocate(rows, cols, type);
  for (int64_t row = 0; row < rows; row += kRandomRows) {
    const int64_t count = std::min(kRandomRows, rows - row);
    backend.upload(values.view().rows_of(0, count), device.view().rows_of(row, row + count));
  }
  return device;
}

}  // namespace

double measure_product_rate(Backend& backend, DType type) {
  std::unique_ptr<Weight> weight;
  Tensor x, y;
  return rate_by_growing(backend, [&](int64_t scale) {
    const int64_t tokens = 1024 * scale, inputs = 512 * scale, outputs = 512 * scale;
    HostAllocator host;
    weight = backend.prepare(random_matrix(host, outputs, inputs), type);
    x = random_on_device(backend, tokens, inputs, type);
    y = backend.allocate(tokens, outputs, type);
    return Operation{2.0 * static_cast<double>(tokens * inputs * outputs),
                     [&] { backend.linear(x, *weight, {}, y); }};
  });
}

double measure_f32_product_rate(Backend& backend) {
  Tensor a, b, c;
  return rate_by_growing(backend, [&](int64_t scale) {
    const int64_t rows = 512 * scale, inner = 128 * scale, cols = 512 * scale;
    a = random_on_device(backend, rows, inner, DType::f32);
    b = random_on_device(backend, inner, cols, DType::f32);
    c = backend.allocate(rows, cols, DType::f32);
    backend.fill(c, 0);
    return Operation{2.0 * static_cast<double>(rows * inner * cols),
                     [&] { backend.multiply_add(a, b, c); }};
  });
}

double measure_copy_rate(Backend& backend) {
  Tensor from, to;
  return rate_by_growing(backend, [&](int64_t scale) {
    from = Tensor();
    to = Tensor();
    const int64_t rows = 1024 * scale, cols = 16384;
    from = backend.allocate(rows, cols, DType::f32);
    to = backend.allocate(rows, cols, DType::f32);
    backend.fill(from, 1);
    backend.fill(to, 0);
    return Operation{static_cast<double>(from.bytes() + to.bytes()),
                     [&] { backend.copy(from, to); }};
  });
}

double measure_upload_rate(Backend& backend) {
  HostAllocator host;
  Tensor from, to;
  return rate_by_growing(backend, [&](int64_t scale) {
    const int64_t rows = 1024 * scale, cols = 4096;
    from = Tensor(host, rows, cols, DType::bf16);
    std::memset(from.view().data, 0, static_cast<size_t>(from.bytes()));
    to = backend.allocate(rows, cols, DType::bf16);
    return Operation{static_cast<double>(from.bytes()), [&] { backend.upload(from, to); }};
  });
}

bool works_behind(Backend& backend) {
  constexpr int64_t kRows = 4096, kCols = 4096;
  constexpr int kCalls = 20;
  const Tensor from = backend.allocate(kRows, kCols, DType::f32);
  const Tensor to = backend.allocate(kRows, kCols, DType::f32);
  backend.fill(from, 1);
  backend.copy(from, to);
  backend.synchronize();
  const auto start = Clock::now();
  for (int call = 0; call < kCalls; ++call) backend.copy(from, to);
  const auto enqueued = Clock::now();
  backend.synchronize();
  return enqueued - start < (Clock::now() - start) / 2;
}

}  // namespace halftone
