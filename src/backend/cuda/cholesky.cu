// Right-looking, in panels of 1,024 columns, each in tiles of 128: one thread block factors the
// tile on the diagonal and inverts it; the rows below are multiplied with the inverse; the rest of
// the panel, and when it is done the rest of the matrix, take products of tensor cores.
//
// Those are as accurate as f32's (multiply_add.cu says how): an element x of the factor, of which
// |x| ≤ 2 since the diagonal is below 4, is kept as two f16 numbers besides, x · 2^12 = high + low.
// For every tile they lie side by side as [low | high | high] and [high | low | high], so that one
// product of threefold depth has all that counts, for one tile as for all of a panel.
#include <cuda_fp16.h>

#include <algorithm>
#include <cassert>
#include <cfloat>

#include "backend/cuda/cholesky.h"
#include "backend/cuda/lower_product.h"

namespace halftone::cuda {
namespace {

constexpr int kTile = 128;
constexpr int kPanel = 1024;             // columns
constexpr int kDepth = 3 * kTile;        // of a tile's halves
constexpr int64_t kHalves = 3 * kPanel;  // of a row: the halves of a panel's tiles
constexpr float kHalfScale = 0x1p12f;
constexpr int64_t kLeast = 1024;  // smaller matrices have too little for tensor cores

constexpr int kTileThreads = 512;
constexpr int kTileWarps = kTileThreads / 32;
constexpr int kRowsAWarp = kTile / kTileWarps, kColumnsALane = kTile / 32;
constexpr int kTileStride = kTile + 1;  // columns lie in different banks
constexpr int kTileBytes = (2 * kTile * kTileStride + kTile) * 4;

// The tile (size, size) at a := its factor C. inverse (kTile, kTile), when the tile is whole,
// [j][i] := (C⁻¹)_ij. failure := 0, or 1 + first + the pivot that is not right.
//
// Gauss's elimination of the tile beside an identity. Lanes hold columns lane + 32 i of rows warp +
// 16 m: of the tile up to the step that eliminates the column, of what becomes the inverse from
// then on. A step's column and row pass through shared memory, not yet divided by the pivots'
// roots.
__global__ void __launch_bounds__(kTileThreads)
    factor_tile(float* a, int64_t ld, int size, float* inverse, int* failure, int first) {
  extern __shared__ float shared[];
  float* tile = shared;
  float* solved = shared + kTile * kTileStride;
  float* roots = shared + 2 * kTile * kTileStride;
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  float values[kRowsAWarp][kColumnsALane];
#pragma unroll
  for (int m = 0; m < kRowsAWarp; ++m) {
#pragma unroll
    for (int i = 0; i < kColumnsALane; ++i) {
      const int row = warp + kTileWarps * m, col = lane + 32 * i;
      values[m][i] = row < size && col <= row ? a[row * ld + col] : row == col ? 1.0f : 0.0f;
    }
  }
  int bad = 0;
#pragma unroll
  for (int block = 0; block < kRowsAWarp; ++block) {  // of rows; `own` is their columns' register
    constexpr int kBlocksAColumn = 32 / kTileWarps;
    const int own = block / kBlocksAColumn;
    for (int step = 0; step < kTileWarps; ++step) {
      const int k = block * kTileWarps + step;
      if (k >= size) break;
      if (lane == k % 32) {
#pragma unroll
        for (int m = block; m < kRowsAWarp; ++m) {
          const int row = warp + kTileWarps * m;
          tile[row * kTileStride + k] = values[m][own];
          values[m][own] = row == k ? 1.0f : 0.0f;
        }
      }
      if (warp == step) {
#pragma unroll
        for (int i = 0; i < kColumnsALane; ++i)
          solved[k * kTileStride + lane + 32 * i] = values[block][i];
      }
      __syncthreads();
      const float pivot = tile[k * kTileStride + k];
      if (bad == 0 && !(pivot > 0 && pivot <= FLT_MAX)) bad = k + 1;
      const float inverse_pivot = __frcp_rn(pivot);
      float multiples[kColumnsALane];
#pragma unroll
      for (int i = 0; i < kColumnsALane; ++i) {
        const int col = lane + 32 * i;
        const float* from = col > k ? tile + col * kTileStride + k : solved + k * kTileStride + col;
        multiples[i] = inverse_pivot * *from;
      }
#pragma unroll
      for (int m = block; m < kRowsAWarp; ++m) {
        const int row = warp + kTileWarps * m;
        if (row <= k) continue;
        const float factor = tile[row * kTileStride + k];
#pragma unroll
        for (int i = 0; i < kColumnsALane; ++i)
          values[m][i] = __fmaf_rn(-factor, multiples[i], values[m][i]);
      }
    }
  }
  __syncthreads();
  if (threadIdx.x < size)
    roots[threadIdx.x] = __fsqrt_rn(tile[threadIdx.x * kTileStride + threadIdx.x]);
  if (threadIdx.x == 0) *failure = bad == 0 ? 0 : first + bad;
  __syncthreads();
  for (int row = warp; row < size; row += kTileWarps) {
    for (int col = lane; col < size; col += 32) {
      if (col < row) a[row * ld + col] = __fdiv_rn(tile[row * kTileStride + col], roots[col]);
      if (col == row) a[row * ld + col] = roots[row];
      if (size == kTile)
        inverse[row * kTile + col] =
            row <= col ? __fdiv_rn(solved[col * kTileStride + row], roots[col]) : 0.0f;
    }
  }
}

constexpr int kSolvedRows = 64;
constexpr int kSolveThreads = 256;
constexpr int kRowsAThread = kSolvedRows / (kSolveThreads / 32);
constexpr int kSolvedStride = kTile + 4;
constexpr int kSolveBytes = (kTile * kTile + kSolvedRows * kSolvedStride) * 4;

struct Below {
  float* a;  // (rows, kTile): what is below a tile, which is whole then
  int64_t ld, rows;
  const float* inverse;
  __half* left;   // of the rows, at the tile's halves
  __half* right;  // likewise
};

// Each lane has four neighbouring columns: stores them, and their halves.
__device__ void store_solved(const Below& below, int64_t row, int col, const float (&x)[4]) {
  alignas(8) __half high[4], low[4];
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    below.a[row * below.ld + col + i] = x[i];
    const float scaled = x[i] * kHalfScale;
    high[i] = __float2half_rn(scaled);
    low[i] = __float2half_rn(scaled - __half2float(high[i]));
  }
  const auto store = [&](__half* to, const __half* values) {
    *reinterpret_cast<uint2*>(to) = *reinterpret_cast<const uint2*>(values);
  };
  __half* left = below.left + row * kHalves + col;
  __half* right = below.right + row * kHalves + col;
  store(left, low);
  store(left + kTile, high);
  store(left + 2 * kTile, high);
  store(right, high);
  store(right + kTile, low);
  store(right + 2 * kTile, high);
}

// Rows := rows · C⁻ᵀ, and their halves. A warp has 8 rows, a lane four columns of each.
__global__ void __launch_bounds__(kSolveThreads) solve_rows(const Below below) {
  extern __shared__ float4 solve_shared[];
  float* inverse = reinterpret_cast<float*>(solve_shared);  // [j][i]
  float* rows = inverse + kTile * kTile;
  const int64_t first = int64_t{blockIdx.x} * kSolvedRows;
  for (int at = threadIdx.x; at < kTile * kTile; at += kSolveThreads)
    inverse[at] = below.inverse[at];
  for (int at = threadIdx.x; at < kSolvedRows * kTile; at += kSolveThreads) {
    const int row = at / kTile, col = at % kTile;
    rows[row * kSolvedStride + col] =
        first + row < below.rows ? below.a[(first + row) * below.ld + col] : 0.0f;
  }
  __syncthreads();
  const int col = threadIdx.x % 32 * 4, own = threadIdx.x / 32 * kRowsAThread;
  float sums[kRowsAThread][4] = {};
  for (int j = 0; j < kTile; j += 4) {
    float4 c[4];
#pragma unroll
    for (int step = 0; step < 4; ++step)
      c[step] = *reinterpret_cast<const float4*>(inverse + (j + step) * kTile + col);
#pragma unroll
    for (int i = 0; i < kRowsAThread; ++i) {
      const float4 p = *reinterpret_cast<const float4*>(rows + (own + i) * kSolvedStride + j);
      const float values[4] = {p.x, p.y, p.z, p.w};
#pragma unroll
      for (int step = 0; step < 4; ++step) {
        sums[i][0] = __fmaf_rn(values[step], c[step].x, sums[i][0]);
        sums[i][1] = __fmaf_rn(values[step], c[step].y, sums[i][1]);
        sums[i][2] = __fmaf_rn(values[step], c[step].z, sums[i][2]);
        sums[i][3] = __fmaf_rn(values[step], c[step].w, sums[i][3]);
      }
    }
  }
#pragma unroll
  for (int i = 0; i < kRowsAThread; ++i)
    if (first + own + i < below.rows) store_solved(below, first + own + i, col, sums[i]);
}

// What a panel is factored with. Halves of row r lie at row r − begin.
struct PanelWork {
  int64_t begin = 0, end = 0;
  View a, failures, inverse, left, right;
};

void factor_tile_of(Context& context, const PanelWork& work, int64_t begin, int64_t end) {
  const View& a = work.a;
  const int width = static_cast<int>(end - begin);
  factor_tile<<<1, kTileThreads, kTileBytes, context.compute()>>>(
      a.row<float>(begin) + begin, a.ld, width, work.inverse.row<float>(0),
      work.failures.row<int>(0) + begin / kTile, static_cast<int>(begin));
  const int64_t rows = a.rows - end;
  if (rows == 0) return;
  const int64_t halves = (end - work.begin) * kHalves + (begin - work.begin) / kTile * kDepth;
  const Below below{.a = a.row<float>(end) + begin,
                    .ld = a.ld,
                    .rows = rows,
                    .inverse = work.inverse.row<float>(0),
                    .left = work.left.row<__half>(0) + halves,
                    .right = work.right.row<__half>(0) + halves};
  const unsigned blocks = static_cast<unsigned>((rows + kSolvedRows - 1) / kSolvedRows);
  solve_rows<<<blocks, kSolveThreads, kSolveBytes, context.compute()>>>(below);
  check_launch({"factor_ldl", {a.rows, begin}});
  if (end == work.end) return;
  context.multiply({.dtype = DType::f16,
                    .transpose_a = true,
                    .m = work.end - end,
                    .n = rows,
                    .k = kDepth,
                    .lda = kHalves,
                    .ldb = kHalves,
                    .ldc = a.ld,
                    .alpha = -1 / (kHalfScale * kHalfScale)},
                   {.a = below.right, .b = below.left, .c = a.row<float>(end) + end});
}

}  // namespace

bool cholesky_serves(const Context& context, int64_t n) {
  return n >= kLeast && context.card().shared_memory >= std::max(kTileBytes, kSolveBytes);
}

int64_t cholesky_tiles(int64_t n) { return (n + kTile - 1) / kTile; }

void cholesky(Context& context, View a, View failures) {
  const int64_t n = a.rows;
  assert(failures.cols == cholesky_tiles(n) && failures.dtype == DType::i32);
  const auto allow = [](auto kernel, int bytes) {
    check(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes),
          "factor_ldl");
  };
  allow(factor_tile, kTileBytes);
  allow(solve_rows, kSolveBytes);
  const Tensor inverse = context.temporary(kTile, kTile, DType::f32);
  const Tensor left = context.temporary(n, kHalves, DType::f16);
  const Tensor right = context.temporary(n, kHalves, DType::f16);
  for (int64_t begin = 0; begin < n; begin += kPanel) {
    const int64_t end = std::min(begin + kPanel, n);
    const PanelWork work{begin, end, a, failures, inverse, left, right};
    for (int64_t tile = begin; tile < end; tile += kTile)
      factor_tile_of(context, work, tile, std::min<int64_t>(tile + kTile, end));
    if (end == n) break;
    const int64_t halves = (end - begin) * kHalves;
    add_lower_product(context,
                      {.dtype = DType::f16,
                       .a = left.row<__half>(0) + halves,
                       .b = right.row<__half>(0) + halves,
                       .n = n - end,
                       .k = kHalves,
                       .ld = kHalves,
                       .alpha = -1 / (kHalfScale * kHalfScale)},
                      a.rows_of(end, n).cols_of(end, n));
  }
}

}  // namespace halftone::cuda
