#include "backend/cuda/cuda_weight.h"

#include <cassert>
#include <numeric>
#include <vector>

#include "backend/cuda/cuda_operations.h"
#include "backend/cuda/dequantize.h"

namespace halftone::cuda {
namespace {

int64_t padded(int64_t cols, DType dtype) {
  const int64_t per_line = 16 / static_cast<int64_t>(size_of(dtype));
  return (cols + per_line - 1) / per_line * per_line;
}

// The type that a product in `compute` is done in: without bf16 hardware, f32.
DType product_type(const Context& context, DType compute) {
  return compute == DType::bf16 && !context.card().bf16 ? DType::f32 : compute;
}

}  // namespace

CudaWeight::CudaWeight(Context& context, int64_t out, int64_t in, DType compute)
    : context_(context) {
  rows = out;
  cols = in;
  dtype = compute;
  const DType stored = product_type(context, compute);
  const int64_t ld = padded(in, stored);
  bytes_ = static_cast<size_t>(out * ld) * size_of(stored);
  view_ = {
      context.allocator().allocate_on(context.copy(), bytes_), out, in, ld, stored, Place::device};
  if (ld != in)
    check(cudaMemsetAsync(view_.data, 0, bytes_, context.copy()), {"prepare", {out, in}});
}

CudaWeight::~CudaWeight() {
  cudaStreamWaitEvent(context_.compute(), prepared_, 0);
  context_.allocator().release(view_.data, bytes_);
}

void CudaWeight::mark_prepared() { prepared_.record(context_.copy()); }
void CudaWeight::await() const { prepared_.block(context_.compute()); }

std::unique_ptr<Weight> prepare_weight(Context& context, Transfers& transfers, ConstView weight,
                                       DType compute) {
  assert(compute == DType::f32 || compute == DType::bf16);
  assert(weight.place == Place::host);
  auto prepared = std::make_unique<CudaWeight>(context, weight.rows, weight.cols, compute);
  const View& view = prepared->view();
  if (view.dtype == compute || weight.dtype == compute) {
    transfers.upload_ahead(weight, view);
  } else {  // rounded to the type that is asked for, multiplied in another
    const StreamBuffer rounded(context.allocator(),
                               static_cast<size_t>(view.rows * view.cols) * size_of(compute),
                               context.copy());
    const View part{rounded.data(), view.rows, view.cols, view.cols, compute, Place::device};
    transfers.upload_ahead(weight, part);
    copy(context, part, view, context.copy());
  }
  prepared->mark_prepared();
  return prepared;
}

std::unique_ptr<Weight> prepare_weight(Context& context, Transfers& transfers,
                                       const QuantizedMatrix& weight, DType compute) {
  auto prepared = std::make_unique<CudaWeight>(context, weight.rows, weight.cols, compute);
  const int64_t groups = weight.groups();
  std::vector<int32_t> group_of = weight.group_of;
  if (group_of.empty())
    for (int64_t col = 0; col < weight.cols; ++col)
      group_of.push_back(static_cast<int32_t>(weight.group(col)));
  std::vector<std::unique_ptr<StreamBuffer>> buffers;
  const auto upload = [&](const void* data, int64_t rows, int64_t cols, DType dtype) {
    buffers.push_back(std::make_unique<StreamBuffer>(
        context.allocator(), static_cast<size_t>(rows * cols) * size_of(dtype), context.copy()));
    const View view{buffers.back()->data(), rows, cols, cols, dtype, Place::device};
    transfers.upload_ahead({data, rows, cols, cols, dtype}, view);
    return view;
  };
  const View codes = upload(weight.codes.data(), weight.rows, weight.cols, DType::u8);
  const View scales = upload(weight.scales.data(), weight.rows, groups, DType::f32);
  const View zeros = weight.grid.offsets
                         ? upload(weight.offsets.data(), weight.rows, groups, DType::f32)
                         : upload(weight.zeros.data(), weight.rows, groups, DType::u8);
  const View columns = upload(group_of.data(), 1, weight.cols, DType::i32);
  dequantize(context,
             {.codes = codes.row<uint8_t>(0),
              .scales = scales,
              .zeros = zeros,
              .group_of = columns.row<int32_t>(0),
              .table = weight.grid.table,
              .rounded_to = compute},
             prepared->view(), context.copy());
  prepared->mark_prepared();
  return prepared;
}

std::unique_ptr<Weight> prepare_weight(Context& context, const CodeView& weight, DType compute) {
  const View& codes = weight.codes;
  assert(codes.contiguous());
  auto prepared = std::make_unique<CudaWeight>(context, codes.rows, codes.cols, compute);
  // Its memory is the copy stream's to give.
  prepared->mark_prepared();
  prepared->await();
  const Tensor group_of = context.to_device(weight.group_of);
  dequantize(context,
             {.codes = static_cast<const uint8_t*>(codes.data),
              .scales = weight.scales,
              .zeros = weight.zeros,
              .group_of = data_of<int32_t>(group_of),
              .table = weight.table,
              .rounded_to = compute},
             prepared->view(), context.compute());
  return prepared;
}

}  // namespace halftone::cuda
