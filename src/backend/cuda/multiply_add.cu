// c += a · b as accurate as f32 products, on tensor cores: each operand is the sum of two f16
// matrices, x · 2^s = high + low, which leaves an error of 2^-24 of x (but at most 2^-39 of the
// largest, where f16 runs out of exponents). Of the four products, low · low is beneath that; the
// other three are one product of matrices that are three times as deep, the small ones first:
//   [low_a | high_a | high_a] · [high_b | low_b | high_b]ᵀ.
// Coarse products are high · high alone.
#include <cuda_fp16.h>

#include <algorithm>
#include <cassert>

#include "backend/cuda/cuda_operations.h"

namespace halftone::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kLargestBlocks = 264;  // two a multiprocessor of an H200, whatever the card
constexpr int kTile = 32;            // of b, turned at once
constexpr int kTopExponent = 14;     // of the largest element once it is scaled

struct Operand {
  const float* data;
  int64_t rows, cols, ld;
};

__device__ float block_largest(float value) {
  __shared__ float largest[kThreads / 32];
  for (int distance = 16; distance > 0; distance /= 2)
    value = fmaxf(value, __shfl_xor_sync(~0u, value, distance));
  if (threadIdx.x % 32 == 0) largest[threadIdx.x / 32] = value;
  __syncthreads();
  value = largest[0];
  for (int warp = 1; warp < kThreads / 32; ++warp) value = fmaxf(value, largest[warp]);
  __syncthreads();
  return value;
}

// largest[block] := max |x| over the block's share of a; the second half of the blocks: of b.
__global__ void __launch_bounds__(kThreads) find_largest(Operand a, Operand b, float* largest) {
  const bool second = blockIdx.x >= kLargestBlocks;
  const Operand x = second ? b : a;
  const int block = blockIdx.x - (second ? kLargestBlocks : 0);
  float value = 0;
  for (int64_t row = block; row < x.rows; row += kLargestBlocks) {
#pragma unroll 4
    for (int64_t col = threadIdx.x; col < x.cols; col += kThreads)
      value = fmaxf(value, fabsf(x.data[row * x.ld + col]));
  }
  value = block_largest(value);
  if (threadIdx.x == 0) largest[blockIdx.x] = value;
}

// The exponent s with which an operand's largest element becomes 2^14 … 2^15.
__device__ int scale_exponent(const float* largest) {
  float value = 0;
  for (int i = threadIdx.x; i < kLargestBlocks; i += kThreads) value = fmaxf(value, largest[i]);
  value = block_largest(value);
  if (!(value > 0) || isinf(value)) return 0;
  return min(kTopExponent - ilogbf(value), 126);
}

// How deep an operand's parts are, and how many there are: three, or one for coarse products.
struct HalfLayout {
  int64_t depth;
  int parts;
  __host__ __device__ int64_t width() const { return parts * depth; }
};

struct Halves {
  __half high, low;
};
__device__ Halves split(float x, float scale) {
  const float scaled = __fmul_rn(x, scale);
  const __half high = __float2half_rn(scaled);
  return {high, __float2half_rn(__fsub_rn(scaled, __half2float(high)))};
}

// a (m, k) → (m, parts · depth): low, high, high, or high alone; each padded with zeros.
__global__ void __launch_bounds__(kThreads)
    split_left(Operand a, const float* largest, HalfLayout layout, __half* out) {
  const float scale = ldexpf(1.0f, scale_exponent(largest));
  const int64_t depth = layout.depth;
  for (int64_t row = blockIdx.x; row < a.rows; row += gridDim.x) {
    __half* to = out + row * layout.width();
    for (int64_t col = threadIdx.x; col < depth; col += kThreads) {
      const Halves halves = split(col < a.cols ? a.data[row * a.ld + col] : 0.0f, scale);
      if (layout.parts == 1) {
        to[col] = halves.high;
      } else {
        to[col] = halves.low;
        to[depth + col] = to[2 * depth + col] = halves.high;
      }
    }
  }
}

// b (k, n) → (n, parts · depth): high, low, high, or high alone; and the factors of the product.
__global__ void __launch_bounds__(kThreads)
    split_right(Operand b, const float* largest, HalfLayout layout, __half* out, float* factors) {
  __shared__ float tile[kTile][kTile + 1];
  const int exponent = scale_exponent(largest + kLargestBlocks);
  const float scale = ldexpf(1.0f, exponent);
  if (blockIdx.x == 0 && blockIdx.y == 0) {
    const int sum = exponent + scale_exponent(largest);
    if (threadIdx.x == 0) {
      factors[0] = ldexpf(1.0f, -sum);
      factors[1] = 1;
    }
  }
  const int64_t first_row = int64_t{blockIdx.y} * kTile, first_col = int64_t{blockIdx.x} * kTile;
  const int across = threadIdx.x % kTile, down = threadIdx.x / kTile;
#pragma unroll
  for (int i = down; i < kTile; i += kThreads / kTile) {
    const int64_t row = first_row + i, col = first_col + across;
    tile[i][across] = row < b.rows && col < b.cols ? b.data[row * b.ld + col] : 0.0f;
  }
  __syncthreads();
#pragma unroll
  for (int i = down; i < kTile; i += kThreads / kTile) {
    const int64_t row = first_row + across, col = first_col + i;
    if (row >= layout.depth || col >= b.cols) continue;
    const Halves halves = split(tile[across][i], scale);
    __half* to = out + col * layout.width() + row;
    to[0] = halves.high;
    if (layout.parts == 1) continue;
    to[layout.depth] = halves.low;
    to[2 * layout.depth] = halves.high;
  }
}

Operand operand_of(ConstView x) { return {x.row<float>(0), x.rows, x.cols, x.ld}; }

}  // namespace

void multiply_add(Context& context, ConstView a, ConstView b, const ProductResult& result) {
  const View& c = result.c;
  assert(a.rows == c.rows && a.cols == b.rows && b.cols == c.cols);
  assert(a.dtype == DType::f32 && b.dtype == DType::f32 && c.dtype == DType::f32);
  if (c.empty() || a.cols == 0) return;
  const HalfLayout layout{(a.cols + 7) / 8 * 8, result.products == Products::coarse ? 1 : 3};
  const Tensor left = context.temporary(a.rows, layout.width(), DType::f16);
  const Tensor right = context.temporary(b.cols, layout.width(), DType::f16);
  const Tensor largest = context.temporary(1, 2 * kLargestBlocks, DType::f32);
  const Tensor factors = context.temporary(1, 2, DType::f32);
  const cudaStream_t stream = context.compute();
  find_largest<<<2 * kLargestBlocks, kThreads, 0, stream>>>(operand_of(a), operand_of(b),
                                                            largest.row<float>(0));
  split_left<<<static_cast<unsigned>(std::min<int64_t>(a.rows, 2 * kLargestBlocks)), kThreads, 0,
               stream>>>(operand_of(a), largest.row<float>(0), layout, left.row<__half>(0));
  const dim3 tiles(static_cast<unsigned>((b.cols + kTile - 1) / kTile),
                   static_cast<unsigned>((layout.depth + kTile - 1) / kTile));
  split_right<<<tiles, kThreads, 0, stream>>>(operand_of(b), largest.row<float>(0), layout,
                                              right.row<__half>(0), factors.row<float>(0));
  check_launch({"multiply_add", {c.rows, c.cols, a.cols}});
  context.multiply({.dtype = DType::f16,
                    .transpose_a = true,
                    .m = c.cols,
                    .n = c.rows,
                    .k = layout.width(),
                    .lda = layout.width(),
                    .ldb = layout.width(),
                    .ldc = c.ld},
                   {.a = right.view().data,
                    .b = left.view().data,
                    .c = c.row<float>(0),
                    .factors = factors.row<float>(0)});
}

}  // namespace halftone::cuda
