// The operations of a forward pass on any backend, on the sizes of real models: TFLOP/s or GB/s and
// percent of the ceiling measured in the same run: the best product of these sizes, and a copy
// within the device.
//
//   bench_device [cuda]
#include <fmt/core.h>

#include <algorithm>
#include <chrono>
#include <functional>
#include <vector>

#include "backend/backend.h"
#include "base/rng.h"

namespace halftone {
namespace {

constexpr int kRepeats = 7;

class Bench {
 public:
  explicit Bench(Backend& backend) : backend_(backend), word_(backend.allocate(1, 1, DType::f32)) {
    backend_.fill(word_, 0);
  }

  Tensor random(int64_t rows, int64_t cols, DType dtype) {
    constexpr int64_t kPattern = 1 << 20;  // repeated: what is multiplied must only not be zero
    HostAllocator host;
    Tensor values(host, 1, kPattern, DType::f32);
    Rng rng(1);
    for (int64_t i = 0; i < kPattern; ++i)
      values.row<float>(0)[i] = static_cast<float>(rng.uniform() * 2 - 1);
    Tensor pattern = backend_.allocate(1, kPattern, dtype);
    backend_.upload(values, pattern);
    Tensor tensor = backend_.allocate(rows, cols, dtype);
    View flat = tensor.view();
    flat.cols *= flat.rows, flat.rows = 1, flat.ld = flat.cols;
    for (int64_t i = 0; i < flat.cols; i += kPattern) {
      const int64_t end = std::min(i + kPattern, flat.cols);
      backend_.copy(pattern.view().cols_of(0, end - i), flat.cols_of(i, end));
    }
    return tensor;
  }

  // The median time of one call, in seconds; queued ten at a time.
  double seconds(const std::function<void()>& body) {
    using Clock = std::chrono::steady_clock;
    constexpr int kQueued = 10;
    std::vector<double> times;
    for (int run = 0; run <= kRepeats; ++run) {
      synchronize();
      const auto start = Clock::now();
      for (int i = 0; i < kQueued; ++i) body();
      synchronize();
      if (run > 0)  // the first one warms up
        times.push_back(std::chrono::duration<double>(Clock::now() - start).count() / kQueued);
    }
    std::sort(times.begin(), times.end());
    return times[times.size() / 2];
  }

  void products() {
    struct Size {
      const char* name;
      int64_t in, out;
    };
    constexpr Size kSizes[] = {{"QwQ q, o", 5120, 5120},      {"QwQ k, v", 5120, 1024},
                               {"QwQ gate, up", 5120, 27648}, {"QwQ down", 27648, 5120},
                               {"Qwen 7B down", 18944, 3584}, {"Qwen 0.5B gate", 896, 4864}};
    for (const Size& size : kSizes) {
      for (const bool f32_result : {false, true}) {
        const int64_t rows = 8192;
        const Tensor x = random(rows, size.in, DType::bf16);
        HostAllocator host;
        Tensor w(host, size.out, size.in, DType::bf16);
        backend_.download(random(size.out, size.in, DType::bf16), w);
        const auto weight = backend_.prepare(w, DType::bf16);
        const Tensor y = backend_.allocate(rows, size.out, f32_result ? DType::f32 : DType::bf16);
        const double time = seconds([&] { backend_.linear(x, *weight, {}, y); });
        const double rate = 2.0 * static_cast<double>(rows * size.in * size.out) / time * 1e-12;
        if (!f32_result) best_rate_ = std::max(best_rate_, rate);
        const Tensor bias = random(1, size.out, DType::f32);
        const double biased = seconds([&] { backend_.linear(x, *weight, bias, y); });
        fmt::print("linear {:<16} {:<4} {:8.3f} ms {:6.0f} TFLOP/s, with bias {:8.3f} ms\n",
                   size.name, f32_result ? "f32" : "bf16", time * 1e3, rate, biased * 1e3);
      }
    }
  }

  void uploads() {
    HostAllocator host;
    Tensor w(host, 27648, 5120, DType::bf16);
    backend_.download(random(27648, 5120, DType::bf16), w);
    const double time = seconds([&] { backend_.prepare(w, DType::bf16); });
    fmt::print("prepare 27648 x 5120 bf16 {:8.3f} ms {:6.1f} GB/s\n", time * 1e3,
               static_cast<double>(w.bytes()) / time * 1e-9);
    const Tensor device = random(8192, 5120, DType::f32);
    Tensor back(host, 8192, 5120, DType::f32);
    const double down = seconds([&] { backend_.download(device, back); });
    fmt::print("download 8192 x 5120 f32  {:8.3f} ms {:6.1f} GB/s\n", down * 1e3,
               static_cast<double>(back.bytes()) / down * 1e-9);
  }

  void attention() {
    struct Size {
      const char* name;
      int64_t sequences, length;
      AttentionSpec spec;
    };
    const Size sizes[] = {
        {"QwQ 4 x 2048", 4, 2048, {.heads = 40, .kv_heads = 8, .head_dim = 128, .scale = 0.088f}},
        {"QwQ 1 x 8192", 1, 8192, {.heads = 40, .kv_heads = 8, .head_dim = 128, .scale = 0.088f}},
        {"Qwen 0.5B", 8, 2048, {.heads = 14, .kv_heads = 2, .head_dim = 64, .scale = 0.125f}},
        {"Gemma 270M", 8, 2048, {.heads = 4, .kv_heads = 1, .head_dim = 256, .scale = 0.0625f}}};
    for (const Size& size : sizes) {
      for (const DType dtype : {DType::bf16, DType::f32}) {
        const int64_t rows = size.sequences * size.length;
        const Tensor q = random(rows, size.spec.heads * size.spec.head_dim, dtype);
        const Tensor k = random(rows, size.spec.kv_heads * size.spec.head_dim, dtype);
        const Tensor v = random(rows, size.spec.kv_heads * size.spec.head_dim, dtype);
        const Tensor y = random(rows, size.spec.heads * size.spec.head_dim, dtype);
        std::vector<Sequence> sequences;
        for (int64_t i = 0; i < size.sequences; ++i)
          sequences.push_back({i * size.length, size.length, i * size.length, size.length});
        const double time = seconds([&] { backend_.attention(q, k, v, sequences, size.spec, y); });
        const double pairs = static_cast<double>(size.sequences) *
                             static_cast<double>(size.length) *
                             static_cast<double>(size.length + 1) / 2;
        const double rate = 4 * pairs * size.spec.heads * size.spec.head_dim / time * 1e-12;
        fmt::print("attention {:<14} {:<4} {:8.3f} ms {:6.0f} TFLOP/s {:3.0f}%\n", size.name,
                   name_of(dtype), time * 1e3, rate, 100 * rate / best_rate_);
      }
    }
  }

  void bandwidth() {
    constexpr int64_t kTokens = 16384, kHidden = 5120, kInner = 27648, kVocab = 152064;
    const auto report = [&](const char* name, double bytes, const std::function<void()>& body) {
      const double time = seconds(body), rate = bytes / time * 1e-9;
      best_copy_ = std::max(best_copy_, rate);
      fmt::print("{:<24} {:8.3f} ms {:6.0f} GB/s {:3.0f}%\n", name, time * 1e3, rate,
                 100 * rate / best_copy_);
    };
    const double hidden = static_cast<double>(kTokens * kHidden);
    const double inner = static_cast<double>(kTokens * kInner);
    const Tensor residual = random(kTokens, kHidden, DType::f32);
    const Tensor gain = random(1, kHidden, DType::f32);
    const Tensor x = random(kTokens, kHidden, DType::bf16),
                 y = random(kTokens, kHidden, DType::bf16);
    const Tensor gate = random(kTokens, kInner, DType::bf16);
    const Tensor up = random(kTokens, kInner, DType::bf16);
    const Tensor acted = random(kTokens, kInner, DType::bf16);
    report("copy", inner * 4, [&] { backend_.copy(gate, up); });
    report("norm f32 to bf16", hidden * 6, [&] { backend_.norm(residual, gain, {}, y); });
    report("add_norm", hidden * 12, [&] { backend_.add_norm(x, residual, gain, {}, y); });
    const Tensor head_gain = random(1, 128, DType::f32);
    report("head norm", hidden * 4,
           [&] { backend_.norm(x.view().split_rows(40), head_gain, {}, y.view().split_rows(40)); });
    report("gated_activation", inner * 6,
           [&] { backend_.gated_activation(gate, up, Activation::silu, acted); });
    const std::vector<int32_t> positions(kTokens, 77);
    const Tensor frequencies = random(1, 64, DType::f32);
    report("rope", hidden * 4,
           [&] { backend_.rope(x, positions, frequencies, {.heads = 40, .head_dim = 128}, y); });
    const Tensor logits = random(2048, kVocab, DType::f32), base = random(2048, kVocab, DType::f32);
    const std::vector<int32_t> targets(2048, 5);
    const Tensor scores = backend_.allocate(2048, kScoreColumns, DType::f32);
    const double bytes = 4.0 * 2048 * kVocab;
    report("score", bytes, [&] { backend_.score(logits, {}, targets, scores); });
    report("score against a base", 2 * bytes,
           [&] { backend_.score(logits, base, targets, scores); });
  }

 private:
  void synchronize() {
    float value = 0;
    backend_.download(word_, {&value, 1, 1, 1});
  }

  Backend& backend_;
  Tensor word_;
  double best_rate_ = 0, best_copy_ = 0;
};

}  // namespace
}  // namespace halftone

int main(int argc, char** argv) {
  const auto backend = halftone::make_backend(argc > 1 ? argv[1] : "cuda", {});
  fmt::print("{}\n", backend->info().device);
  halftone::Bench bench(*backend);
  bench.products();
  bench.uploads();
  bench.attention();
  bench.bandwidth();
}
