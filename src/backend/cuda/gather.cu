// The columns of a matrix, and the rows and columns of a symmetric one, in another order; the
// diagonal blocks of a triangular one. Bound by memory.
#include <cassert>

#include "backend/cuda/cuda_operations.h"

namespace halftone::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kRowThreads = 1024;  // that reorder one row

struct Matrix {
  const float* h;
  const int32_t* order;
  int64_t h_ld, out_ld, n;
  double dead_diagonal, damping;
};

// One row of the lower triangle a thread block; the longest first.
template <class T>
__global__ void __launch_bounds__(kThreads) gather_triangle(const Matrix m, T* out) {
  const int64_t row = m.n - 1 - blockIdx.x;
  const int64_t from_row = m.order[row];
  const float* source = m.h + from_row * m.h_ld;
#pragma unroll 4
  for (int64_t col = threadIdx.x; col < row; col += kThreads) {
    const int64_t from = m.order[col];
    out[row * m.out_ld + col] =
        static_cast<T>(from <= from_row ? source[from] : m.h[from * m.h_ld + from_row]);
  }
  if (threadIdx.x == 0) {
    const double diagonal = source[from_row];
    out[row * m.out_ld + row] =
        static_cast<T>((diagonal == 0 ? m.dead_diagonal : diagonal) + m.damping);
  }
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
  const unsigned rows = static_cast<unsigned>(n);
  if (out.dtype == DType::f64)
    gather_triangle<<<rows, kThreads, 0, context.compute()>>>(matrix, out.row<double>(0));
  else
    gather_triangle<<<rows, kThreads, 0, context.compute()>>>(matrix, out.row<float>(0));
  check_launch("gather_symmetric");
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
