// CPU backend: linear layers, as oneDNN products on tiles whose cut depends on the shapes alone.
// Many rows: blocks of rows times the whole weight. Few rows (generation): all rows times slices of
// it.
#include <algorithm>
#include <cassert>
#include <cstring>

#include "backend/cpu/cpu_operations.h"
#include "backend/cpu/quant_ops.h"

namespace halftone::cpu {
namespace {

// Up to this many rows the weight is cut instead of the rows.
constexpr int64_t kFewRows = 64;
constexpr int64_t kManyRows = 1024;
constexpr int64_t kRowsAChunk = 16;  // of a weight, dequantized by one thread

class CpuWeight final : public Weight {
 public:
  explicit CpuWeight(PackedWeight weight) : packed(std::move(weight)) {
    rows = packed.outputs;
    cols = packed.inputs;
    dtype = packed.dtype;
  }
  PackedWeight packed;
};

int64_t bytes_of(int64_t rows, int64_t cols, DType dtype) {
  return rows * cols * static_cast<int64_t>(size_of(dtype));
}

void copy_rows(ConstView from, View to, const simd::Kernels& kernels) {
  for (int64_t row = 0; row < from.rows; ++row)
    kernels.convert(simd::source(from, row), simd::target(to, row), from.cols);
}

}  // namespace

std::unique_ptr<Weight> CpuBackend::prepare(ConstView weight, DType compute) {
  assert(compute == DType::f32 || compute == DType::bf16);
  if (compute == DType::f32 || info_.native_bf16)
    return std::make_unique<CpuWeight>(matmul_.pack(weight, compute, allocator_, pool_, kernels_));
  // bf16 products would be emulated, slower than f32's: the weight is rounded, the products are
  // f32.
  Tensor rounded(allocator_, weight.rows, weight.cols, DType::bf16);
  copy(weight, rounded);
  return std::make_unique<CpuWeight>(
      matmul_.pack(rounded, DType::f32, allocator_, pool_, kernels_));
}

std::unique_ptr<Weight> CpuBackend::prepare(const QuantizedMatrix& weight, DType compute) {
  const Tensor dense(allocator_, weight.rows, weight.cols, compute);
  pool_.parallel_for(weight.rows, kRowsAChunk, [&](int64_t begin, int64_t end) {
    dequantize(weight, begin, end, dense.view().rows_of(begin, end));
  });
  return prepare(dense, compute);
}

std::unique_ptr<Weight> CpuBackend::prepare(const CodeView& weight, DType compute) {
  const Tensor dense(allocator_, weight.codes.rows, weight.codes.cols, compute);
  cpu_dequantize(pool_, kernels_, weight, dense);
  return prepare(dense, compute);
}

void CpuBackend::run_tile(const LinearTile& tile) {
  const int64_t rows = tile.x.rows, outputs = tile.y.cols;
  // oneDNN wants x in the weight's type and y in it or in f32; 2.x wants both contiguous.
  const bool x_direct = tile.x.dtype == tile.compute && tile.x.contiguous();
  const DType result = tile.y.dtype == tile.compute ? tile.compute : DType::f32;
  const bool y_direct = tile.y.contiguous() && tile.y.dtype == result;
  const MatmulShape shape{.rows = rows,
                          .inputs = tile.x.cols,
                          .outputs = outputs,
                          .compute = tile.compute,
                          .result = result,
                          .bias = !tile.bias.empty(),
                          .accumulate = tile.accumulate};
  const MatmulKernel kernel = matmul_.kernel(shape, tile.slice->layout);
  const int64_t x_bytes = x_direct ? 0 : bytes_of(rows, shape.inputs, shape.compute);
  const int64_t y_bytes = y_direct ? 0 : bytes_of(rows, outputs, shape.result);
  Scratch::Lease scratch = scratch_.lease(Scratch::aligned(x_bytes) + Scratch::aligned(y_bytes) +
                                          Scratch::aligned(kernel.scratch_bytes));
  ConstView x = tile.x;
  if (!x_direct) {
    const View copied{scratch.take(x_bytes), rows, shape.inputs, shape.inputs, shape.compute};
    copy_rows(x, copied, kernels_);
    x = copied;
  }
  View y = tile.y;
  if (!y_direct) {
    y = {scratch.take(y_bytes), rows, outputs, outputs, shape.result};
    if (tile.accumulate) copy_rows(tile.y, y, kernels_);
  }
  matmul_.run(kernel, {.x = x.data,
                       .weight = tile.weight,
                       .bias = tile.bias.data,
                       .y = y.data,
                       .scratch = scratch.take(kernel.scratch_bytes)});
  if (!y_direct) copy_rows(y, tile.y, kernels_);
}

void CpuBackend::linear(ConstView x, const Weight& weight, ConstView bias, View y,
                        bool accumulate) {
  const PackedWeight& packed = static_cast<const CpuWeight&>(weight).packed;
  assert(x.cols == weight.cols && y.cols == weight.rows && x.rows == y.rows);
  assert(bias.empty() || (bias.cols == weight.rows && bias.dtype == DType::f32));
  assert(!accumulate || y.dtype == DType::f32);
  const std::byte* bytes = packed.bytes.row<std::byte>(0);
  const auto run = [&](int64_t row, int64_t end, const PackedWeight::Slice& slice) {
    run_tile({.x = x.rows_of(row, end),
              .slice = &slice,
              .weight = bytes + slice.offset,
              .bias = bias.empty() ? bias : bias.cols_of(slice.begin, slice.end),
              .y = y.rows_of(row, end).cols_of(slice.begin, slice.end),
              .compute = packed.dtype,
              .accumulate = accumulate});
  };
  if (x.rows <= kFewRows) {
    pool_.parallel_for(static_cast<int64_t>(packed.slices.size()), 1,
                       [&](int64_t begin, int64_t end) {
                         for (int64_t i = begin; i < end; ++i)
                           run(0, x.rows, packed.slices[static_cast<size_t>(i)]);
                       });
    return;
  }
  const PackedWeight::Slice whole{
      .begin = 0, .end = packed.outputs, .offset = 0, .layout = packed.layout};
  const int64_t grain = x.rows >= kManyRows ? 256 : kFewRows;
  pool_.parallel_for(x.rows, grain, [&](int64_t begin, int64_t end) { run(begin, end, whole); });
}

}  // namespace halftone::cpu
