#include "backend/cuda/linear_matmul.h"

#include <array>
#include <cassert>
#include <span>

#include "backend/cuda/cuda_check.h"

namespace halftone::cuda {
namespace {

// Uneven sequences give a shape each: beyond this the plans are made anew.
constexpr size_t kMostPlans = 4096;
constexpr int kChoices = 8;

cudaDataType_t type_of(DType dtype) {
  assert(dtype == DType::f32 || dtype == DType::bf16);
  return dtype == DType::f32 ? CUDA_R_32F : CUDA_R_16BF;
}

Operation operation_of(const LinearProduct& product) {
  return {"linear", {product.x.rows, product.x.cols, product.y.cols}};
}

void check_blas(cublasStatus_t status, const LinearProduct& product) {
  check_library(status == CUBLAS_STATUS_SUCCESS, "cuBLASLt", status, operation_of(product));
}

// The library's first choice, or, where it has one, the first of Hopper's kernels whose warpgroups
// write one tile while they multiply the next (option 2 of algorithm 66): at the sizes of QwQ-32B
// and of Qwen2.5-0.5B it has 92% and more of the best of eight, the first choice 84% and more. On
// an H200 all of them gave the same bytes.
cublasLtMatmulAlgo_t best_of(std::span<const cublasLtMatmulHeuristicResult_t> choices) {
  const auto value = [](const auto& choice, cublasLtMatmulAlgoConfigAttributes_t attribute) {
    int32_t number = 0;
    size_t size = 0;
    cublasLtMatmulAlgoConfigGetAttribute(&choice.algo, attribute, &number, sizeof number, &size);
    return number;
  };
  for (const auto& choice : choices)
    if (choice.state == CUBLAS_STATUS_SUCCESS && value(choice, CUBLASLT_ALGO_CONFIG_ID) == 66 &&
        value(choice, CUBLASLT_ALGO_CONFIG_CUSTOM_OPTION) == 2 &&
        value(choice, CUBLASLT_ALGO_CONFIG_SPLITK_NUM) == 1)
      return choice.algo;
  return choices[0].algo;
}

struct Layout {
  cublasLtMatrixLayout_t value = nullptr;
  ~Layout() {
    if (value) cublasLtMatrixLayoutDestroy(value);
  }
};

}  // namespace

// cuBLASLt thinks in columns: yᵀ (out, n) = w (k, out)ᵀ · xᵀ (k, n).
struct LinearMatmul::Plan {
  cublasLtMatmulDesc_t description = nullptr;
  Layout w, x, y;
  cublasLtMatmulAlgo_t algorithm = {};
  bool found = false;

  ~Plan() {
    if (description) cublasLtMatmulDescDestroy(description);
  }
};

void LinearMatmul::PlanDeleter::operator()(Plan* plan) const { delete plan; }

LinearMatmul::Plan& LinearMatmul::plan(const LinearProduct& product) {
  const ConstView &x = product.x, &w = product.w;
  const View& y = product.y;
  const int kind = (x.dtype == DType::bf16) | (y.dtype == DType::bf16) << 1 |
                   (product.bias != nullptr) << 2 | product.accumulate << 3;
  const Key key{x.rows, x.cols, y.cols, x.ld, w.ld, y.ld, kind};
  if (const auto known = plans_.find(key); known != plans_.end()) return *known->second;
  if (plans_.size() >= kMostPlans) plans_.clear();

  std::unique_ptr<Plan, PlanDeleter> plan(new Plan);
  const auto verify = [&](cublasStatus_t status) { check_blas(status, product); };
  verify(cublasLtMatmulDescCreate(&plan->description, CUBLAS_COMPUTE_32F, CUDA_R_32F));
  const auto set = [&](cublasLtMatmulDescAttributes_t attribute, auto value) {
    verify(cublasLtMatmulDescSetAttribute(plan->description, attribute, &value, sizeof value));
  };
  set(CUBLASLT_MATMUL_DESC_TRANSA, CUBLAS_OP_T);
  if (product.bias) {
    set(CUBLASLT_MATMUL_DESC_EPILOGUE, CUBLASLT_EPILOGUE_BIAS);
    set(CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE, CUDA_R_32F);
    set(CUBLASLT_MATMUL_DESC_BIAS_POINTER, product.bias);
  }
  const auto lay = [&](Layout& layout, ConstView view) {
    verify(cublasLtMatrixLayoutCreate(&layout.value, type_of(view.dtype),
                                      static_cast<uint64_t>(view.cols),
                                      static_cast<uint64_t>(view.rows), view.ld));
  };
  lay(plan->w, w);
  lay(plan->x, x);
  lay(plan->y, y);

  cublasLtMatmulPreference_t preference = nullptr;
  verify(cublasLtMatmulPreferenceCreate(&preference));
  const auto prefer = [&](cublasLtMatmulPreferenceAttributes_t attribute, auto value) {
    verify(cublasLtMatmulPreferenceSetAttribute(preference, attribute, &value, sizeof value));
  };
  prefer(CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, uint64_t{kWorkspaceBytes});
  prefer(CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK,
         uint32_t{CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE});
  for (const auto attribute :
       {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES,
        CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES})
    prefer(attribute, uint32_t{16});
  std::array<cublasLtMatmulHeuristicResult_t, kChoices> results = {};
  int count = 0;
  const cublasStatus_t status = cublasLtMatmulAlgoGetHeuristic(
      handle_, plan->description, plan->w.value, plan->x.value, plan->y.value, plan->y.value,
      preference, kChoices, results.data(), &count);
  cublasLtMatmulPreferenceDestroy(preference);
  plan->found =
      status == CUBLAS_STATUS_SUCCESS && count > 0 && results[0].state == CUBLAS_STATUS_SUCCESS;
  if (plan->found) plan->algorithm = best_of(std::span(results).first(static_cast<size_t>(count)));
  return *plans_.emplace(key, std::move(plan)).first->second;
}

bool LinearMatmul::serves(const LinearProduct& product) { return plan(product).found; }

void LinearMatmul::run(const LinearProduct& product, void* workspace, cudaStream_t stream) {
  Plan& planned = plan(product);
  check_library(planned.found, "cuBLASLt", CUBLAS_STATUS_NOT_SUPPORTED, operation_of(product));
  if (product.bias)
    check_blas(
        cublasLtMatmulDescSetAttribute(planned.description, CUBLASLT_MATMUL_DESC_BIAS_POINTER,
                                       &product.bias, sizeof product.bias),
        product);
  const float one = 1, beta = product.accumulate ? 1.0f : 0.0f;
  check_blas(cublasLtMatmul(handle_, planned.description, &one, product.w.data, planned.w.value,
                            product.x.data, planned.x.value, &beta, product.y.data, planned.y.value,
                            product.y.data, planned.y.value, &planned.algorithm, workspace,
                            kWorkspaceBytes, stream),
             product);
}

}  // namespace halftone::cuda
