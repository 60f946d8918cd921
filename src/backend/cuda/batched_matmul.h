// Dense products of the quantizer through cuBLASLt, in its own terms: matrices are column-major.
// One plan a shape, the library's first choice for it, so that the same sizes give the same bytes.
#pragma once

#include <cublasLt.h>
#include <cuda_runtime_api.h>

#include <array>
#include <cstdint>
#include <map>
#include <memory>

#include "tensor/tensor.h"

namespace halftone::cuda {

// c (m, n) f32 += alpha · op(a) (m, k) · op(b) (k, n), products and sums in f32; a and b f32 (no
// TF32), bf16 or f16.
struct BatchedProduct {
  DType dtype = DType::f32;  // of a and b
  bool transpose_a = false, transpose_b = false;
  int64_t m = 0, n = 0, k = 0;
  int64_t lda = 0, ldb = 0, ldc = 0;
  // So many products, whose operands begin so many elements apart.
  int64_t count = 1, stride_a = 0, stride_b = 0, stride_c = 0;
  float alpha = 1;
};

struct BatchedOperands {
  const void* a = nullptr;
  const void* b = nullptr;
  float* c = nullptr;
  // Two numbers on the device that a · b and c are multiplied with; null: alpha and 1.
  const float* factors = nullptr;
};

class BatchedMatmul {
 public:
  explicit BatchedMatmul(cublasLtHandle_t handle) : handle_(handle) {}
  BatchedMatmul(const BatchedMatmul&) = delete;
  BatchedMatmul& operator=(const BatchedMatmul&) = delete;

  // `workspace` of kWorkspaceBytes, not used by anything else on another stream.
  void run(const BatchedProduct& product, const BatchedOperands& operands, void* workspace,
           cudaStream_t stream);

  static constexpr size_t kWorkspaceBytes = size_t{32} << 20;

 private:
  struct Plan;
  struct PlanDeleter {
    void operator()(Plan* plan) const;
  };
  using Key = std::array<int64_t, 16>;
  struct Alignments {
    uint32_t a = 0, b = 0, c = 0;  // bytes
  };
  const Plan& plan_of(const BatchedProduct& product, const BatchedOperands& operands);
  std::unique_ptr<Plan, PlanDeleter> make_plan(const BatchedProduct& product,
                                               const BatchedOperands& operands,
                                               const Alignments& aligned);

  cublasLtHandle_t handle_;
  std::map<Key, std::unique_ptr<Plan, PlanDeleter>> plans_;
};

}  // namespace halftone::cuda
