// h += xᵀ · diag(row_weights) · x, the lower triangle: it is cut into a square of half its size,
// two squares of a quarter, four … and so on down to triangles that are small enough to be taken as
// squares. Squares of one size are one batched product, whose operands lie in x as they are.
//
// A row's weight is taken as its square root on both sides, rounded to x's type: what is added is a
// Gram matrix then, never indefinite. Cards that do not multiply bf16 get f32.
#include <algorithm>
#include <cassert>

#include "backend/cuda/cuda_operations.h"
#include "backend/cuda/elements.cuh"

namespace halftone::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int64_t kSmallest = 768;  // triangles are not cut below that
constexpr int64_t kMultiple = 64;   // of a triangle's side: operands stay aligned
constexpr int64_t kTokens = 16384;  // summed at once: bounds the rounding errors of sums in f32

// out (rows, cols) := √weight · x, by rows; ones where there are no weights.
template <class From, class To>
__global__ void __launch_bounds__(kThreads)
    weigh_rows(const From* x, int64_t ld, int64_t cols, const float* weights, To* out) {
  const int64_t row = blockIdx.x;
  const float root = weights ? __fsqrt_rn(weights[row]) : 1.0f;
#pragma unroll 4
  for (int64_t col = threadIdx.x; col < cols; col += kThreads)
    out[row * cols + col] = from_float<To>(root * to_float(x[row * ld + col]));
}

// `count` equal rectangles of h, `stride` rows and columns apart.
struct Rectangles {
  int64_t row = 0, col = 0, rows = 0, cols = 0, count = 1, stride = 0;
};

void add_products(Context& context, ConstView x, const Rectangles& part, View h) {
  const int64_t size = static_cast<int64_t>(size_of(x.dtype));
  const std::byte* first = x.row<std::byte>(0);
  // In cuBLAS's terms h is its transpose, an upper triangle, and x is xᵀ.
  context.multiply({.dtype = x.dtype,
                    .transpose_b = true,
                    .m = part.cols,
                    .n = part.rows,
                    .k = x.rows,
                    .lda = x.ld,
                    .ldb = x.ld,
                    .ldc = h.ld,
                    .count = part.count,
                    .stride_a = part.count > 1 ? part.stride : 0,
                    .stride_b = part.count > 1 ? part.stride : 0,
                    .stride_c = part.count > 1 ? part.stride * (h.ld + 1) : 0},
                   {.a = first + part.col * size,
                    .b = first + part.row * size,
                    .c = h.row<float>(part.row) + part.col});
}

void add_triangle(Context& context, ConstView x, View h) {
  const int64_t n = x.cols;
  int64_t triangles = 1;
  while (n / (2 * triangles) >= kSmallest) triangles *= 2;
  const int64_t side = triangles == 1 ? n : n / (triangles * kMultiple) * kMultiple;
  for (int64_t count = 1; count < triangles; count *= 2) {
    const int64_t half = side * triangles / count / 2;
    add_products(
        context, x,
        {.row = half, .col = 0, .rows = half, .cols = half, .count = count, .stride = 2 * half}, h);
  }
  add_products(context, x, {.rows = side, .cols = side, .count = triangles, .stride = side}, h);
  const int64_t done = side * triangles;
  if (done < n) add_products(context, x, {.row = done, .rows = n - done, .cols = n}, h);
}

template <class From, class To>
void weigh(Context& context, ConstView x, const float* weights, View out) {
  weigh_rows<<<static_cast<unsigned>(x.rows), kThreads, 0, context.compute()>>>(
      x.row<From>(0), x.ld, x.cols, weights, out.row<To>(0));
  check_launch("accumulate_hessian");
}

}  // namespace

void accumulate_hessian(Context& context, ConstView x, ConstView row_weights, View h) {
  assert(h.rows == x.cols && h.cols == x.cols && h.dtype == DType::f32);
  assert(x.dtype == DType::f32 || x.dtype == DType::bf16);
  assert(row_weights.empty() || (row_weights.cols == x.rows && row_weights.dtype == DType::f32));
  const DType products = context.card().bf16 ? x.dtype : DType::f32;
  for (int64_t begin = 0; begin < x.rows; begin += kTokens) {
    const ConstView tokens = x.rows_of(begin, std::min(begin + kTokens, x.rows));
    if (row_weights.empty() && products == x.dtype) {
      add_triangle(context, tokens, h);
      continue;
    }
    const Tensor weighted = context.temporary(tokens.rows, tokens.cols, products);
    const float* weights = row_weights.empty() ? nullptr : row_weights.row<float>(0) + begin;
    if (x.dtype == DType::f32)
      weigh<float, float>(context, tokens, weights, weighted);
    else if (products == DType::f32)
      weigh<__nv_bfloat16, float>(context, tokens, weights, weighted);
    else
      weigh<__nv_bfloat16, __nv_bfloat16>(context, tokens, weights, weighted);
    add_triangle(context, weighted, h);
  }
}

}  // namespace halftone::cuda
