#include "backend/cuda/batched_matmul.h"

#include <cassert>

#include "backend/cuda/cuda_check.h"

namespace halftone::cuda {
namespace {

// The solver makes a shape for every block of columns: beyond this the plans are made anew.
constexpr size_t kMostPlans = 4096;

cudaDataType_t type_of(DType dtype) {
  switch (dtype) {
    case DType::bf16:
      return CUDA_R_16BF;
    case DType::f16:
      return CUDA_R_16F;
    default:
      assert(dtype == DType::f32);
      return CUDA_R_32F;
  }
}

// The largest power of two, at most 256, at multiples of which all columns begin.
uint32_t alignment_of(const void* data, int64_t ld, int64_t stride, size_t size) {
  const uint64_t bits = reinterpret_cast<uint64_t>(data) | static_cast<uint64_t>(ld) * size |
                        static_cast<uint64_t>(stride) * size | 256;
  return static_cast<uint32_t>(bits & (~bits + 1));
}

void check_blas(cublasStatus_t status, const BatchedProduct& product) {
  check_library(status == CUBLAS_STATUS_SUCCESS, "cuBLASLt", status,
                {"batched product", {product.m, product.n, product.k, product.count}});
}

struct Layout {
  cublasLtMatrixLayout_t value = nullptr;
  ~Layout() {
    if (value) cublasLtMatrixLayoutDestroy(value);
  }
};

struct Preference {
  cublasLtMatmulPreference_t value = nullptr;
  ~Preference() {
    if (value) cublasLtMatmulPreferenceDestroy(value);
  }
};

}  // namespace

struct BatchedMatmul::Plan {
  cublasLtMatmulDesc_t description = nullptr;
  Layout a, b, c;
  cublasLtMatmulAlgo_t algorithm = {};

  ~Plan() {
    if (description) cublasLtMatmulDescDestroy(description);
  }
};

void BatchedMatmul::PlanDeleter::operator()(Plan* plan) const { delete plan; }

const BatchedMatmul::Plan& BatchedMatmul::plan_of(const BatchedProduct& p,
                                                  const BatchedOperands& operands) {
  const size_t size = size_of(p.dtype);
  const uint32_t align_a = alignment_of(operands.a, p.lda, p.stride_a, size);
  const uint32_t align_b = alignment_of(operands.b, p.ldb, p.stride_b, size);
  const uint32_t align_c = alignment_of(operands.c, p.ldc, p.stride_c, sizeof(float));
  const int kind = static_cast<int>(p.dtype) << 3 | p.transpose_a << 2 | p.transpose_b << 1 |
                   (operands.factors != nullptr);
  const Key key{kind,    p.m,        p.n,        p.k,        p.lda,   p.ldb,   p.ldc,
                p.count, p.stride_a, p.stride_b, p.stride_c, align_a, align_b, align_c};
  if (const auto known = plans_.find(key); known != plans_.end()) return *known->second;
  if (plans_.size() >= kMostPlans) plans_.clear();
  return *plans_.emplace(key, make_plan(p, operands, {align_a, align_b, align_c})).first->second;
}

std::unique_ptr<BatchedMatmul::Plan, BatchedMatmul::PlanDeleter> BatchedMatmul::make_plan(
    const BatchedProduct& p, const BatchedOperands& operands, const Alignments& aligned) {
  std::unique_ptr<Plan, PlanDeleter> plan(new Plan);
  const auto verify = [&](cublasStatus_t status) { check_blas(status, p); };
  verify(cublasLtMatmulDescCreate(&plan->description, CUBLAS_COMPUTE_32F, CUDA_R_32F));
  const auto set = [&](cublasLtMatmulDescAttributes_t attribute, int32_t value) {
    verify(cublasLtMatmulDescSetAttribute(plan->description, attribute, &value, sizeof value));
  };
  set(CUBLASLT_MATMUL_DESC_TRANSA, p.transpose_a ? CUBLAS_OP_T : CUBLAS_OP_N);
  set(CUBLASLT_MATMUL_DESC_TRANSB, p.transpose_b ? CUBLAS_OP_T : CUBLAS_OP_N);
  if (operands.factors) set(CUBLASLT_MATMUL_DESC_POINTER_MODE, CUBLASLT_POINTER_MODE_DEVICE);
  struct Shape {
    cudaDataType_t type;
    bool transposed;
    int64_t rows, cols, ld, stride;
  };
  const auto lay = [&](Layout& layout, Shape shape) {
    if (shape.transposed) std::swap(shape.rows, shape.cols);
    verify(cublasLtMatrixLayoutCreate(&layout.value, shape.type, static_cast<uint64_t>(shape.rows),
                                      static_cast<uint64_t>(shape.cols), shape.ld));
    const int32_t count = static_cast<int32_t>(p.count);
    verify(cublasLtMatrixLayoutSetAttribute(layout.value, CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT,
                                            &count, sizeof count));
    verify(cublasLtMatrixLayoutSetAttribute(layout.value,
                                            CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET,
                                            &shape.stride, sizeof shape.stride));
  };
  lay(plan->a, {type_of(p.dtype), p.transpose_a, p.m, p.k, p.lda, p.stride_a});
  lay(plan->b, {type_of(p.dtype), p.transpose_b, p.k, p.n, p.ldb, p.stride_b});
  lay(plan->c, {CUDA_R_32F, false, p.m, p.n, p.ldc, p.stride_c});

  Preference preference;
  verify(cublasLtMatmulPreferenceCreate(&preference.value));
  const auto prefer = [&](cublasLtMatmulPreferenceAttributes_t attribute, auto value) {
    verify(cublasLtMatmulPreferenceSetAttribute(preference.value, attribute, &value, sizeof value));
  };
  prefer(CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, uint64_t{kWorkspaceBytes});
  prefer(CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK,
         uint32_t{CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE});
  prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, aligned.a);
  prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, aligned.b);
  prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, aligned.c);
  prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, aligned.c);
  cublasLtMatmulHeuristicResult_t best = {};
  int found = 0;
  verify(cublasLtMatmulAlgoGetHeuristic(handle_, plan->description, plan->a.value, plan->b.value,
                                        plan->c.value, plan->c.value, preference.value, 1, &best,
                                        &found));
  verify(found > 0 ? best.state : CUBLAS_STATUS_NOT_SUPPORTED);
  plan->algorithm = best.algo;
  return plan;
}

void BatchedMatmul::run(const BatchedProduct& product, const BatchedOperands& operands,
                        void* workspace, cudaStream_t stream) {
  const Plan& plan = plan_of(product, operands);
  constexpr float kOne = 1;
  const float* alpha = operands.factors ? operands.factors : &product.alpha;
  const float* beta = operands.factors ? operands.factors + 1 : &kOne;
  check_blas(cublasLtMatmul(handle_, plan.description, alpha, operands.a, plan.a.value, operands.b,
                            plan.b.value, beta, operands.c, plan.c.value, operands.c, plan.c.value,
                            &plan.algorithm, workspace, kWorkspaceBytes, stream),
             product);
}

}  // namespace halftone::cuda
