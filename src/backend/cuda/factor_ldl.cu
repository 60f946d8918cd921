// a = L D Lᵀ in place (docs/methods.md §3): cuSOLVER's Cholesky factor C = L √D, taken apart.
#include <cassert>
#include <vector>

#include "backend/cuda/cuda_operations.h"

namespace halftone::cuda {
namespace {

constexpr int kThreads = 256;

// status := 0, or 1 + the index of the first pivot that is not positive and finite: what cuSOLVER
// says, unless a NaN or an infinity, which it lets pass, stands before that.
template <class T>
__global__ void __launch_bounds__(kThreads)
    check_pivots(const T* a, int64_t n, int64_t ld, const int* info, int32_t* status) {
  __shared__ int64_t first[kThreads];
  const int64_t none = n + 1;
  int64_t bad = none;
  const int64_t good = *info > 0 ? *info - 1 : n;
  for (int64_t i = threadIdx.x; i < good && bad == none; i += kThreads)
    if (!(a[i * ld + i] > 0) || isinf(a[i * ld + i])) bad = i + 1;
  first[threadIdx.x] = bad;
  __syncthreads();
  for (int half = kThreads / 2; half > 0; half /= 2) {
    if (threadIdx.x < half) first[threadIdx.x] = min(first[threadIdx.x], first[threadIdx.x + half]);
    __syncthreads();
  }
  if (threadIdx.x == 0)
    *status = static_cast<int32_t>(first[0] < none ? first[0] : *info > 0 ? *info : 0);
}

template <class T>
__global__ void __launch_bounds__(kThreads)
    take_roots(const T* a, int64_t n, int64_t ld, T* roots) {
  const int64_t i = int64_t{blockIdx.x} * kThreads + threadIdx.x;
  if (i < n) roots[i] = a[i * ld + i];
}

// C = L √D: L_ik = C_ik / C_kk, D_k = C_kk². One row a thread block, the longest first.
template <class T>
__global__ void __launch_bounds__(kThreads)
    split_pivots(T* a, int64_t n, int64_t ld, const T* roots) {
  const int64_t row = n - 1 - blockIdx.x;
  T* values = a + row * ld;
#pragma unroll 4
  for (int64_t col = threadIdx.x; col < row; col += kThreads) values[col] /= roots[col];
  if (threadIdx.x == 0) values[row] = roots[row] * roots[row];
}

void check_solver(cusolverStatus_t status, int64_t n) {
  check_library(status == CUSOLVER_STATUS_SUCCESS, "cuSOLVER", status, {"factor_ldl", {n, n}});
}

template <class T>
void factor(Context& context, View a, View status) {
  const int64_t n = a.rows;
  const cudaDataType_t type = a.dtype == DType::f64 ? CUDA_R_64F : CUDA_R_32F;
  // A row-major lower triangle is a column-major upper one.
  constexpr cublasFillMode_t kTriangle = CUBLAS_FILL_MODE_UPPER;
  size_t device_bytes = 0, host_bytes = 0;
  check_solver(cusolverDnXpotrf_bufferSize(context.solver(), nullptr, kTriangle, n, type, a.data,
                                           a.ld, type, &device_bytes, &host_bytes),
               n);
  const Tensor work = context.temporary(1, static_cast<int64_t>(device_bytes) + 64, DType::u8);
  const Tensor info = context.temporary(1, 1, DType::i32);
  const Tensor roots = context.temporary(1, n, a.dtype);
  std::vector<std::byte> host_work(host_bytes);
  check_solver(cusolverDnXpotrf(context.solver(), nullptr, kTriangle, n, type, a.data, a.ld, type,
                                work.view().data, device_bytes, host_work.data(), host_bytes,
                                info.row<int>(0)),
               n);
  check_pivots<<<1, kThreads, 0, context.compute()>>>(a.row<T>(0), n, a.ld, info.row<int>(0),
                                                      status.row<int32_t>(0));
  const unsigned blocks = static_cast<unsigned>((n + kThreads - 1) / kThreads);
  take_roots<<<blocks, kThreads, 0, context.compute()>>>(a.row<T>(0), n, a.ld, roots.row<T>(0));
  split_pivots<<<static_cast<unsigned>(n), kThreads, 0, context.compute()>>>(a.row<T>(0), n, a.ld,
                                                                             roots.row<T>(0));
  check_launch("factor_ldl");
}

}  // namespace

void factor_ldl(Context& context, View a, View status) {
  assert(a.rows == a.cols && a.rows > 0 && status.dtype == DType::i32);
  if (a.dtype == DType::f64)
    factor<double>(context, a, status);
  else
    factor<float>(context, a, status);
}

}  // namespace halftone::cuda
