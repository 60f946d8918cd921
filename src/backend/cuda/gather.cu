// The columns of a matrix, and the rows and columns of a symmetric one, in another order; the
// diagonal blocks of a triangular one. Bound by memory.
#include <cassert>

#include "backend/cuda/cuda_operations.h"

namespace halftone::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kRowThreads = 1024;  // that reorder one row
constexpr int kTile = 32;

struct Matrix {
  const float* h;
  const int32_t* order;
  int64_t h_ld, out_ld, n;
  double dead_diagonal, damping;
};

// h's lower triangle has only one of each pair of elements, h[order[i], order[j]] and its mirror
// image. One row i a thread block: those that are there go to out[i, j], on either side of the
// diagonal, reading h as it lies.
template <class T>
__global__ void __launch_bounds__(kRowThreads) gather_known(const Matrix m, T* out) {
  const int64_t row = blockIdx.x, from_row = m.order[row];
  const float* source = m.h + from_row * m.h_ld;
  T* target = out + row * m.out_ld;
#pragma unroll 8
  for (int64_t col = threadIdx.x; col < m.n; col += kRowThreads) {
    const int64_t from = m.order[col];
    if (from < from_row) target[col] = static_cast<T>(source[from]);
  }
  if (threadIdx.x == 0) {
    const double diagonal = source[from_row];
    target[row] = static_cast<T>((diagonal == 0 ? m.dead_diagonal : diagonal) + m.damping);
  }
}

// The others come from the mirror image of their tile.
template <class T>
__global__ void __launch_bounds__(kThreads) mirror_others(const Matrix m, T* out) {
  if (blockIdx.x > blockIdx.y) return;
  __shared__ T tile[kTile][kTile + 1];
  const int64_t first_row = int64_t{blockIdx.y} * kTile, first_col = int64_t{blockIdx.x} * kTile;
  const int across = threadIdx.x % kTile;
  // Whether out[row, col] of the lower triangle has to be filled.
  const auto wanted = [&](int64_t row, int64_t col) {
    return row < m.n && col < row && m.order[col] > m.order[row];
  };
#pragma unroll
  for (int down = threadIdx.x / kTile; down < kTile; down += kThreads / kTile) {
    const int64_t row = first_row + across, col = first_col + down;
    if (wanted(row, col)) tile[down][across] = out[col * m.out_ld + row];
  }
  __syncthreads();
#pragma unroll
  for (int down = threadIdx.x / kTile; down < kTile; down += kThreads / kTile) {
    const int64_t row = first_row + down, col = first_col + across;
    if (wanted(row, col)) out[row * m.out_ld + col] = tile[across][down];
  }
}

template <class T>
void launch_gathering(Context& context, const Matrix& matrix, T* out) {
  gather_known<<<static_cast<unsigned>(matrix.n), kRowThreads, 0, context.compute()>>>(matrix, out);
  const unsigned tiles = static_cast<unsigned>((matrix.n + kTile - 1) / kTile);
  mirror_others<<<dim3(tiles, tiles), kThreads, 0, context.compute()>>>(matrix, out);
  check_launch({"gather_symmetric", {matrix.n}});
}

struct Columns {
  const int32_t* order;
  int64_t w_ld, out_ld, w_cols, out_cols;
};

// One row a thread block: read as it lies, reordered in shared memory.
template <class T>
__global__ void __launch_bounds__(kRowThreads)
    reorder_rows(const T* w, const Columns columns, T* out) {
  extern __shared__ float4 shared[];
  T* held = reinterpret_cast<T*>(shared);
  const T* source = w + blockIdx.x * columns.w_ld;
  T* target = out + blockIdx.x * columns.out_ld;
#pragma unroll 8
  for (int64_t col = threadIdx.x; col < columns.w_cols; col += kRowThreads) held[col] = source[col];
  __syncthreads();
#pragma unroll 8
  for (int64_t col = threadIdx.x; col < columns.out_cols; col += kRowThreads)
    target[col] = held[columns.order[col]];
}

// Rows that do not fit there.
template <class T>
__global__ void __launch_bounds__(kRowThreads)
    reorder_long_rows(const T* w, const Columns columns, T* out) {
  const T* source = w + blockIdx.x * columns.w_ld;
  T* target = out + blockIdx.x * columns.out_ld;
#pragma unroll 8
  for (int64_t col = threadIdx.x; col < columns.out_cols; col += kRowThreads)
    target[col] = source[columns.order[col]];
}

template <class T>
void launch_reordering(Context& context, ConstView w, const Columns& columns, View out) {
  const unsigned rows = static_cast<unsigned>(w.rows);
  const int64_t bytes = w.cols * static_cast<int64_t>(sizeof(T));
  if (bytes > context.card().shared_memory) {
    reorder_long_rows<T>
        <<<rows, kRowThreads, 0, context.compute()>>>(w.row<T>(0), columns, out.row<T>(0));
  } else {
    check(cudaFuncSetAttribute(reorder_rows<T>, cudaFuncAttributeMaxDynamicSharedMemorySize,
                               context.card().shared_memory),
          "gather_columns");
    reorder_rows<T><<<rows, kRowThreads, static_cast<size_t>(bytes), context.compute()>>>(
        w.row<T>(0), columns, out.row<T>(0));
  }
  check_launch("gather_columns");
}

__global__ void __launch_bounds__(kThreads)
    copy_blocks(const float* a, int64_t a_ld, float* blocks, int64_t blocks_ld, int64_t width) {
  const int64_t row = blockIdx.x, begin = row / width * width;
  for (int64_t col = threadIdx.x; col < width; col += kThreads)
    blocks[row * blocks_ld + col] = begin + col < row ? a[row * a_ld + begin + col] : 0.0f;
}

}  // namespace

void gather_symmetric(Context& context, ConstView h, std::span<const int32_t> order,
                      const Damping& damping, View out) {
  const int64_t n = static_cast<int64_t>(order.size());
  assert(out.rows == n && out.cols == n && h.dtype == DType::f32);
  if (n == 0) return;
  const Tensor device_order = context.to_device(order);
  const Matrix matrix{.h = h.row<float>(0),
                      .order = data_of<int32_t>(device_order),
                      .h_ld = h.ld,
                      .out_ld = out.ld,
                      .n = n,
                      .dead_diagonal = damping.dead_diagonal,
                      .damping = damping.damping};
  if (out.dtype == DType::f64)
    launch_gathering(context, matrix, out.row<double>(0));
  else
    launch_gathering(context, matrix, out.row<float>(0));
}

void gather_columns(Context& context, ConstView w, std::span<const int32_t> order, View out) {
  assert(out.rows == w.rows && out.cols == static_cast<int64_t>(order.size()));
  assert(w.dtype == out.dtype && (w.dtype == DType::f32 || w.dtype == DType::u8));
  if (out.empty()) return;
  const Tensor device_order = context.to_device(order);
  const Columns columns{.order = data_of<int32_t>(device_order),
                        .w_ld = w.ld,
                        .out_ld = out.ld,
                        .w_cols = w.cols,
                        .out_cols = out.cols};
  if (w.dtype == DType::u8)
    launch_reordering<uint8_t>(context, w, columns, out);
  else
    launch_reordering<float>(context, w, columns, out);
}

void copy_diagonal_blocks(Context& context, ConstView a, View blocks) {
  assert(a.rows == a.cols && blocks.rows == a.rows);
  assert(a.dtype == DType::f32 && blocks.dtype == DType::f32);
  if (blocks.empty()) return;
  copy_blocks<<<static_cast<unsigned>(a.rows), kThreads, 0, context.compute()>>>(
      a.row<float>(0), a.ld, blocks.row<float>(0), blocks.ld, blocks.cols);
  check_launch("copy_diagonal_blocks");
}

}  // namespace halftone::cuda
