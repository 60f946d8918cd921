// h += xᵀ · diag(row_weights) · x, the lower triangle, from x as it lies.
//
// A row's weight is taken as its square root on both sides, rounded to x's type: what is added is a
// Gram matrix then, never indefinite. Cards that do not multiply bf16 get f32.
#include <algorithm>
#include <cassert>

#include "backend/cuda/cuda_operations.h"
#include "backend/cuda/elements.cuh"
#include "backend/cuda/lower_product.h"

namespace halftone::cuda {
namespace {

constexpr int kThreads = 256;
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

void add_products(Context& context, ConstView x, View h) {
  const LowerProduct product{.dtype = x.dtype,
                             .transposed = true,
                             .a = x.data,
                             .b = x.data,
                             .n = x.cols,
                             .k = x.rows,
                             .ld = x.ld};
  add_lower_product(context, product, h);
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
      add_products(context, tokens, h);
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
    add_products(context, weighted, h);
  }
}

}  // namespace halftone::cuda
