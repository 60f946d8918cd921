// Dense products through cuBLASLt: one plan a shape, chosen by rule among the library's, so that
// the same shape gives the same bytes in every run. Sums in f32 and in an order that is fixed: no
// split of k but through f32 partial sums in the workspace.
#pragma once

#include <cublasLt.h>

#include <cstdint>
#include <map>
#include <memory>
#include <tuple>

#include "tensor/tensor.h"

namespace halftone::cuda {

// Row-major: y (n, out) := x (n, k) · wᵀ (k, out) [+ bias] [+ y]. All pointers and leading
// dimensions at multiples of 16 bytes. x and w both bf16 or both f32 (full f32 products, no TF32);
// y f32, or bf16 when x is.
struct LinearProduct {
  ConstView x, w;
  const float* bias = nullptr;  // (out)
  View y;
  bool accumulate = false;
};

class LinearMatmul {
 public:
  LinearMatmul(cublasLtHandle_t handle) : handle_(handle) {}
  LinearMatmul(const LinearMatmul&) = delete;
  LinearMatmul& operator=(const LinearMatmul&) = delete;

  // Whether the library does this in one call: some versions have no f32 bias for bf16 results.
  bool serves(const LinearProduct& product);
  void run(const LinearProduct& product, void* workspace, cudaStream_t stream);

  static constexpr size_t kWorkspaceBytes = size_t{32} << 20;

 private:
  struct Plan;
  struct PlanDeleter {
    void operator()(Plan* plan) const;
  };
  using Key = std::tuple<int64_t, int64_t, int64_t, int64_t, int64_t, int64_t, int>;
  Plan& plan(const LinearProduct& product);

  cublasLtHandle_t handle_;
  std::map<Key, std::unique_ptr<Plan, PlanDeleter>> plans_;
};

}  // namespace halftone::cuda
