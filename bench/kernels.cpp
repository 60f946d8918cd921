// The CPU backend's operations on the sizes of real models: GFLOP/s or GB/s, and percent of the
// ceiling measured in the same run. The ceiling of a product is oneDNN's own rate for a 256-row
// tile of those sizes that stays in the cache, on all threads at once.
//
//   bench_kernels [threads]
#include <fmt/core.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <functional>
#include <vector>

#include "backend/cpu/cpu_backend.h"
#include "backend/cpu/dnnl_matmul.h"
#include "base/rng.h"
#include "base/thread_pool.h"

namespace halftone {
namespace {

constexpr int64_t kRows = 2048;

struct LinearSize {
  const char* name;
  int64_t inputs, outputs;
};
constexpr LinearSize kLinears[] = {
    {"SmolLM2-135M q, o", 576, 576},   {"SmolLM2-135M k, v", 576, 192},
    {"SmolLM2-135M gate", 576, 1536},  {"SmolLM2-135M down", 1536, 576},
    {"Qwen2.5-0.5B q, o", 896, 896},   {"Qwen2.5-0.5B k, v", 896, 128},
    {"Qwen2.5-0.5B gate", 896, 4864},  {"Qwen2.5-0.5B down", 4864, 896},
    {"SmolLM2-135M head", 576, 49152},
};

struct AttentionSize {
  const char* name;
  AttentionSpec spec;
};
const AttentionSize kAttentions[] = {
    {"SmolLM2-135M", {.heads = 9, .kv_heads = 3, .head_dim = 64, .scale = 0.125f}},
    {"Qwen2.5-0.5B", {.heads = 14, .kv_heads = 2, .head_dim = 64, .scale = 0.125f}},
    {"Gemma-3-270M", {.heads = 4, .kv_heads = 1, .head_dim = 256, .scale = 0.0625f}},
};

// The shortest of many runs: what the machine can do when nobody else uses it.
double seconds(const std::function<void()>& body) {
  using Clock = std::chrono::steady_clock;
  body();
  double best = 1e30;
  const auto end = Clock::now() + std::chrono::milliseconds(400);
  for (int run = 0; run < 3 || Clock::now() < end; ++run) {
    const auto start = Clock::now();
    body();
    best = std::min(best, std::chrono::duration<double>(Clock::now() - start).count());
  }
  return best;
}

Tensor random_tensor(Backend& backend, int64_t rows, int64_t cols, DType dtype) {
  Tensor values(backend.allocator(), rows, cols, DType::f32);
  Rng rng(static_cast<uint64_t>(rows * 1000003 + cols));
  for (int64_t i = 0; i < rows * cols; ++i)
    values.row<float>(0)[i] = static_cast<float>(rng.uniform() - 0.5);
  if (dtype == DType::f32) return values;
  Tensor converted = backend.allocate(rows, cols, dtype);
  backend.copy(values, converted);
  return converted;
}

// GFLOP/s of one hot tile on every thread.
double product_ceiling(ThreadPool& pool, const LinearSize& size, DType dtype) {
  HostAllocator allocator;
  cpu::MatmulEngine engine;
  constexpr int64_t kTile = 256, kRepeats = 4;
  Tensor weight(allocator, size.outputs, size.inputs, dtype);
  std::fill_n(weight.row<std::byte>(0), weight.bytes(), std::byte{0});
  const cpu::PackedWeight packed =
      engine.pack(weight, dtype, allocator, pool, simd::kernels_for(simd::detect_isa()));
  const cpu::MatmulKernel kernel = engine.kernel({.rows = kTile,
                                                  .inputs = size.inputs,
                                                  .outputs = size.outputs,
                                                  .compute = dtype,
                                                  .result = dtype},
                                                 packed.layout);
  std::vector<Tensor> x, y, scratch;
  for (int i = 0; i < pool.size(); ++i) {
    x.emplace_back(allocator, kTile, size.inputs, dtype);
    std::fill_n(x.back().row<std::byte>(0), x.back().bytes(), std::byte{0});
    y.emplace_back(allocator, kTile, size.outputs, dtype);
    scratch.emplace_back(allocator, 1, kernel.scratch_bytes + 64, DType::u8);
  }
  const double spent = seconds([&] {
    pool.parallel_for(pool.size(), 1, [&](int64_t begin, int64_t) {
      const size_t i = static_cast<size_t>(begin);
      for (int64_t repeat = 0; repeat < kRepeats; ++repeat)
        engine.run(kernel, {.x = x[i].row<std::byte>(0),
                            .weight = packed.bytes.row<std::byte>(0),
                            .y = y[i].row<std::byte>(0),
                            .scratch = scratch[i].row<std::byte>(0)});
    });
  });
  return 2.0 * kTile * static_cast<double>(size.inputs * size.outputs) * kRepeats * pool.size() /
         spent * 1e-9;
}

// Returns the best ceiling: what the other products are held against.
double bench_linears(Backend& backend, ThreadPool& pool, DType dtype) {
  double best = 0;
  for (const LinearSize& size : kLinears) {
    const double ceiling = product_ceiling(pool, size, dtype);
    best = std::max(best, ceiling);
    const int64_t rows = size.outputs > 10000 ? kRows / 4 : kRows;
    const Tensor x = random_tensor(backend, rows, size.inputs, dtype);
    const auto weight =
        backend.prepare(random_tensor(backend, size.outputs, size.inputs, dtype), dtype);
    const Tensor y = backend.allocate(rows, size.outputs, dtype);
    const double spent = seconds([&] { backend.linear(x, *weight, {}, y); });
    const double rate = 2.0 * static_cast<double>(rows * size.inputs * size.outputs) / spent * 1e-9;
    fmt::print("linear     {:<18} {:<5} {:>5} x {:>5} x {:>5} {:8.1f} GFLOP/s {:4.0f}% of {:.1f}\n",
               size.name, name_of(dtype), rows, size.inputs, size.outputs, rate,
               100 * rate / ceiling, ceiling);
  }
  return best;
}

void bench_attention(Backend& backend, DType dtype, double ceiling) {
  for (const AttentionSize& size : kAttentions) {
    const int64_t width = int64_t{size.spec.heads} * size.spec.head_dim;
    const int64_t kv_width = int64_t{size.spec.kv_heads} * size.spec.head_dim;
    const Tensor q = random_tensor(backend, kRows, width, dtype);
    const Tensor k = random_tensor(backend, kRows, kv_width, dtype);
    const Tensor v = random_tensor(backend, kRows, kv_width, dtype);
    const Tensor y = backend.allocate(kRows, width, dtype);
    const Sequence whole{.q_begin = 0, .q_count = kRows, .kv_begin = 0, .kv_count = kRows};
    const double spent = seconds([&] { backend.attention(q, k, v, {&whole, 1}, size.spec, y); });
    // Two products over the triangle.
    const double rate = 2.0 * static_cast<double>(kRows * (kRows + 1) * width) / spent * 1e-9;
    fmt::print("attention  {:<18} {:<5} {:>5} tokens          {:8.1f} GFLOP/s {:4.0f}% of {:.1f}\n",
               size.name, name_of(dtype), kRows, rate, 100 * rate / ceiling, ceiling);
    const Sequence next{.q_begin = 0, .q_count = 1, .kv_begin = 0, .kv_count = kRows};
    const double one = seconds([&] {
      backend.attention(q.view().rows_of(0, 1), k, v, {&next, 1}, size.spec,
                        y.view().rows_of(0, 1));
    });
    fmt::print(
        "attention  {:<18} {:<5}  1 of {:>5} tokens    {:8.1f} us, {:.1f} GB/s of keys, values\n",
        size.name, name_of(dtype), kRows, one * 1e6,
        static_cast<double>(k.bytes() + v.bytes()) / one * 1e-9);
  }
}

void report_bytes(const char* name, DType dtype, int64_t bytes, double spent) {
  fmt::print("{:<29} {:<5} {:8.1f} us  {:6.1f} GB/s\n", name, name_of(dtype), spent * 1e6,
             static_cast<double>(bytes) / spent * 1e-9);
}

void bench_rows(Backend& backend, DType dtype) {
  constexpr int64_t kHidden = 896, kInner = 4864;
  const Tensor residual = random_tensor(backend, kRows, kHidden, DType::f32);
  const Tensor x = random_tensor(backend, kRows, kHidden, dtype);
  const Tensor y = backend.allocate(kRows, kHidden, dtype);
  const Tensor gain = random_tensor(backend, 1, kHidden, DType::f32);
  report_bytes("norm 896", dtype, residual.bytes() + y.bytes(),
               seconds([&] { backend.norm(residual, gain, {}, y); }));
  report_bytes("add_norm 896", dtype, 2 * residual.bytes() + x.bytes() + y.bytes(),
               seconds([&] { backend.add_norm(x, residual, gain, {}, y); }));

  std::vector<int32_t> positions(kRows);
  for (size_t i = 0; i < positions.size(); ++i) positions[i] = static_cast<int32_t>(i);
  const Tensor frequencies = random_tensor(backend, 1, 32, DType::f32);
  report_bytes("rope 14 x 64", dtype, x.bytes() + y.bytes(), seconds([&] {
                 backend.rope(x, positions, frequencies, {.heads = 14, .head_dim = 64}, y);
               }));

  const Tensor gate = random_tensor(backend, kRows, kInner, dtype);
  const Tensor up = random_tensor(backend, kRows, kInner, dtype);
  const Tensor inner = backend.allocate(kRows, kInner, dtype);
  report_bytes("silu(gate) * up 4864", dtype, 3 * gate.bytes(),
               seconds([&] { backend.gated_activation(gate, up, Activation::silu, inner); }));

  const Tensor weight = random_tensor(backend, kInner, kHidden, DType::f32);
  report_bytes("prepare 4864 x 896 of f32", dtype, weight.bytes(),
               seconds([&] { backend.prepare(weight, dtype); }));
}

void bench_score(Backend& backend) {
  for (int64_t vocabulary : {49152, 151936}) {
    constexpr int64_t kScored = 64;
    const Tensor logits = random_tensor(backend, kScored, vocabulary, DType::f32);
    const Tensor base = random_tensor(backend, kScored, vocabulary, DType::f32);
    const Tensor scores = backend.allocate(kScored, kScoreColumns, DType::f32);
    const std::vector<int32_t> targets(kScored, 5);
    report_bytes(vocabulary < 100000 ? "score 49152" : "score 151936", DType::f32, logits.bytes(),
                 seconds([&] { backend.score(logits, {}, targets, scores); }));
    report_bytes(vocabulary < 100000 ? "score 49152, KL" : "score 151936, KL", DType::f32,
                 2 * logits.bytes(),
                 seconds([&] { backend.score(logits, base, targets, scores); }));
  }
}

void bench_hessian(Backend& backend, DType dtype, double ceiling) {
  for (int64_t inputs : {576, 1536, 4864}) {
    const Tensor x = random_tensor(backend, kRows, inputs, dtype);
    const Tensor h = backend.allocate(inputs, inputs, DType::f32);
    backend.fill(h, 0);
    const double spent = seconds([&] { backend.accumulate_hessian(x, {}, h); });
    const double rate = static_cast<double>(kRows * inputs * (inputs + 1)) / spent * 1e-9;
    fmt::print("hessian    {:>5} x {:>5} {:<5} {:30.1f} GFLOP/s {:4.0f}% of {:.1f}\n", kRows,
               inputs, name_of(dtype), rate, 100 * rate / ceiling, ceiling);
  }
}

int run(int threads) {
  const auto backend = make_cpu_backend({.threads = threads});
  ThreadPool pool(backend->info().threads);
  fmt::print("{}, {}\n", backend->info().device, backend->info().instructions);
  std::vector<DType> types{DType::f32};
  if (backend->info().native_bf16) types.push_back(DType::bf16);
  for (DType dtype : types) {
    const double ceiling = bench_linears(*backend, pool, dtype);
    bench_attention(*backend, dtype, ceiling);
    bench_hessian(*backend, dtype, ceiling);
    bench_rows(*backend, dtype);
  }
  bench_score(*backend);
  return 0;
}

}  // namespace
}  // namespace halftone

int main(int argc, char** argv) { return halftone::run(argc > 1 ? std::atoi(argv[1]) : 0); }
