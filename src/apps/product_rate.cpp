// Square-ish products, large enough for every thread, small enough for caches.
#include "apps/product_rate.h"

#include <algorithm>
#include <chrono>

namespace halftone {

double measure_product_rate(Backend& backend, DType type) {
  constexpr int64_t kTokens = 2048, kInputs = 1024, kOutputs = 1024;
  constexpr int kRounds = 8, kCalls = 8;
  HostAllocator host;
  const Tensor dense(host, kOutputs, kInputs, DType::f32);
  std::fill_n(dense.row<float>(0), kOutputs * kInputs, 0.01f);
  const auto weight = backend.prepare(dense, type);
  const Tensor x = backend.allocate(kTokens, kInputs, type);
  const Tensor y = backend.allocate(kTokens, kOutputs, DType::f32);
  backend.fill(x, 0.5f);
  backend.linear(x, *weight, {}, y);
  double best = 0;
  for (int round = 0; round < kRounds; ++round) {
    const auto start = std::chrono::steady_clock::now();
    for (int call = 0; call < kCalls; ++call) backend.linear(x, *weight, {}, y);
    const Tensor last(host, 1, kOutputs, DType::f32);
    backend.download(y.view().rows_of(0, 1), last);  // waits
    const std::chrono::duration<double> spent = std::chrono::steady_clock::now() - start;
    best = std::max(best, 2.0 * kCalls * kTokens * kInputs * kOutputs / spent.count());
  }
  return best;
}

}  // namespace halftone
