// a = L D Lᵀ in place (docs/methods.md §3): a Cholesky factor C = L √D, taken apart. Large f32
// matrices are first scaled from both sides by powers of two, which rounds nothing, so that their
// diagonal is in [1, 4) and cholesky() can take them; the rest is cuSOLVER's.
#include <algorithm>
#include <cassert>
#include <cfloat>
#include <vector>

#include "backend/cuda/cholesky.h"
#include "backend/cuda/cuda_operations.h"

namespace halftone::cuda {
namespace {

constexpr int kThreads = 256;

__device__ int64_t block_least(int64_t value) {
  __shared__ int64_t least[kThreads];
  least[threadIdx.x] = value;
  __syncthreads();
  for (int half = kThreads / 2; half > 0; half /= 2) {
    if (threadIdx.x < half) least[threadIdx.x] = min(least[threadIdx.x], least[threadIdx.x + half]);
    __syncthreads();
  }
  return least[0];
}

// status := 0, or 1 + the index of the first pivot that is not positive and finite: what cuSOLVER
// says, unless a NaN or an infinity, which it lets pass, stands before that.
template <class T>
__global__ void __launch_bounds__(kThreads)
    check_pivots(const T* a, int64_t n, int64_t ld, const int* info, int32_t* status) {
  const int64_t none = n + 1;
  const int64_t good = *info > 0 ? *info - 1 : n;
  int64_t bad = none;
  for (int64_t i = threadIdx.x; i < good && bad == none; i += kThreads)
    if (!(a[i * ld + i] > 0) || isinf(a[i * ld + i])) bad = i + 1;
  bad = block_least(bad);
  if (threadIdx.x == 0) *status = static_cast<int32_t>(bad < none ? bad : *info > 0 ? *info : 0);
}

// status := the first of the tiles' failures, or 0.
__global__ void __launch_bounds__(kThreads)
    first_failure(const int* failures, int64_t tiles, int32_t* status) {
  constexpr int64_t kNone = INT64_MAX;
  int64_t first = kNone;
  for (int64_t i = threadIdx.x; i < tiles; i += kThreads)
    if (failures[i] > 0) first = min(first, int64_t{failures[i]});
  first = block_least(first);
  if (threadIdx.x == 0) *status = first == kNone ? 0 : static_cast<int32_t>(first);
}

// exponents[i] := that e for which a_ii · 4^-e is in [1, 4); 0 where there is none.
__global__ void __launch_bounds__(kThreads)
    find_exponents(const float* a, int64_t n, int64_t ld, int* exponents) {
  const int64_t i = int64_t{blockIdx.x} * kThreads + threadIdx.x;
  if (i >= n) return;
  const float pivot = a[i * ld + i];
  exponents[i] = pivot > 0 && pivot <= FLT_MAX ? ilogbf(pivot) >> 1 : 0;
}

// a_ik := a_ik · 2^-(e_i + e_k). One row a thread block, the longest first.
__global__ void __launch_bounds__(kThreads)
    scale_rows(float* a, int64_t n, int64_t ld, const int* exponents) {
  const int64_t row = n - 1 - blockIdx.x;
  float* values = a + row * ld;
  const int exponent = exponents[row];
#pragma unroll 4
  for (int64_t col = threadIdx.x; col <= row; col += kThreads)
    values[col] = ldexpf(values[col], -exponent - exponents[col]);
}

template <class T>
__global__ void __launch_bounds__(kThreads)
    take_roots(const T* a, int64_t n, int64_t ld, T* roots) {
  const int64_t i = int64_t{blockIdx.x} * kThreads + threadIdx.x;
  if (i < n) roots[i] = a[i * ld + i];
}

// C = L √D: L_ik = C_ik / C_kk, D_k = C_kk², and both unscaled when there are exponents. One row a
// thread block, the longest first.
template <class T>
__global__ void __launch_bounds__(kThreads)
    split_pivots(T* a, int64_t n, int64_t ld, const T* roots, const int* exponents) {
  const int64_t row = n - 1 - blockIdx.x;
  T* values = a + row * ld;
  const int exponent = exponents ? exponents[row] : 0;
#pragma unroll 4
  for (int64_t col = threadIdx.x; col < row; col += kThreads) {
    const T quotient = values[col] / roots[col];
    values[col] = exponents ? scalbn(quotient, exponent - exponents[col]) : quotient;
  }
  if (threadIdx.x == 0) values[row] = scalbn(roots[row] * roots[row], 2 * exponent);
}

unsigned blocks_of(int64_t n) { return static_cast<unsigned>((n + kThreads - 1) / kThreads); }

template <class T>
void take_apart(Context& context, View a, const int* exponents) {
  const Tensor roots = context.temporary(1, a.rows, a.dtype);
  take_roots<<<blocks_of(a.rows), kThreads, 0, context.compute()>>>(a.row<T>(0), a.rows, a.ld,
                                                                    roots.row<T>(0));
  split_pivots<<<static_cast<unsigned>(a.rows), kThreads, 0, context.compute()>>>(
      a.row<T>(0), a.rows, a.ld, roots.row<T>(0), exponents);
  check_launch({"factor_ldl", {a.rows}});
}

void check_solver(cusolverStatus_t status, int64_t n) {
  check_library(status == CUSOLVER_STATUS_SUCCESS, "cuSOLVER", status, {"factor_ldl", {n, n}});
}

template <class T>
void factor_by_library(Context& context, View a, View status) {
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
  std::vector<std::byte> host_work(host_bytes);
  check_solver(cusolverDnXpotrf(context.solver(), nullptr, kTriangle, n, type, a.data, a.ld, type,
                                work.view().data, device_bytes, host_work.data(), host_bytes,
                                info.row<int>(0)),
               n);
  check_pivots<<<1, kThreads, 0, context.compute()>>>(a.row<T>(0), n, a.ld, info.row<int>(0),
                                                      status.row<int32_t>(0));
  take_apart<T>(context, a, nullptr);
}

void factor_scaled(Context& context, View a, View status) {
  const int64_t n = a.rows, tiles = cholesky_tiles(n);
  const Tensor exponents = context.temporary(1, n, DType::i32);
  const Tensor failures = context.temporary(1, tiles, DType::i32);
  find_exponents<<<blocks_of(n), kThreads, 0, context.compute()>>>(a.row<float>(0), n, a.ld,
                                                                   exponents.row<int>(0));
  scale_rows<<<static_cast<unsigned>(n), kThreads, 0, context.compute()>>>(a.row<float>(0), n, a.ld,
                                                                           exponents.row<int>(0));
  cholesky(context, a, failures);
  first_failure<<<1, kThreads, 0, context.compute()>>>(failures.row<int>(0), tiles,
                                                       status.row<int32_t>(0));
  take_apart<float>(context, a, exponents.row<int>(0));
}

}  // namespace

void factor_ldl(Context& context, View a, View status) {
  assert(a.rows == a.cols && a.rows > 0 && status.dtype == DType::i32);
  if (a.dtype == DType::f64)
    factor_by_library<double>(context, a, status);
  else if (cholesky_serves(context, a.rows))
    factor_scaled(context, a, status);
  else
    factor_by_library<float>(context, a, status);
}

}  // namespace halftone::cuda
