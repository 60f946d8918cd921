// CUDA: rows of the embedding.
#include "backend/cuda/cuda_operations.h"
#include "backend/cuda/elements.cuh"

namespace halftone::cuda {
namespace {

constexpr int kThreads = 256;

template <class Table, class Y>
__global__ void gather_rows(const int32_t* ids, Rows<const Table> table, float scale, Rows<Y> y,
                            int64_t cols) {
  const int64_t row = blockIdx.x;
  const Table* from = table.row(ids[row]);
  for (int64_t col = threadIdx.x; col < cols; col += kThreads)
    y.row(row)[col] = from_float<Y>(scale * to_float(from[col]));
}

}  // namespace

void embed(Context& context, std::span<const int32_t> ids, ConstView table, float scale, View y) {
  assert(static_cast<int64_t>(ids.size()) == y.rows && table.cols == y.cols);
  if (y.empty()) return;
  const Tensor on_device = context.to_device(ids);
  with_float_type(table.dtype, [&](auto in) {
    with_activation_type(y.dtype, [&](auto out) {
      using Table = typename decltype(in)::Type;
      using Y = typename decltype(out)::Type;
      gather_rows<Table, Y><<<static_cast<unsigned>(y.rows), kThreads, 0, context.compute()>>>(
          data_of<int32_t>(on_device), rows_of<Table>(table), scale, rows_of<Y>(y), y.cols);
    });
  });
  check_launch({"embed", {y.rows, y.cols}});
}

}  // namespace halftone::cuda
