#include "backend/cuda/dequantize.h"
#include "backend/cuda/elements.cuh"

namespace halftone::cuda {
namespace {

constexpr int kThreads = 256;

template <class T>
__global__ void dequantize_rows(DeviceCodes in, Rows<T> out, int64_t cols, int64_t count,
                                bool to_bf16) {
  const int64_t step = int64_t{gridDim.x} * kThreads;
  for (int64_t i = int64_t{blockIdx.x} * kThreads + threadIdx.x; i < count; i += step) {
    const Position at = position_of(i, cols);
    const int64_t group = at.row * in.groups + in.group_of[at.col];
    const int steps = int{in.codes[i]} - int{in.zeros[group]};
    float value = __fmul_rn(in.scales[group], static_cast<float>(steps));
    if (to_bf16) value = to_float(__float2bfloat16_rn(value));
    out.row(at.row)[at.col] = from_float<T>(value);
  }
}

}  // namespace

void dequantize(Context& context, const DeviceCodes& codes, View out, cudaStream_t stream) {
  if (out.empty()) return;
  const int64_t count = out.rows * out.cols;
  with_float_type(out.dtype, [&](auto type) {
    using T = typename decltype(type)::Type;
    dequantize_rows<T><<<blocks_for(context, count, kThreads), kThreads, 0, stream>>>(
        codes, rows_of<T>(out), out.cols, count, codes.rounded_to == DType::bf16);
  });
  check_launch({"dequantize", {out.rows, out.cols}});
}

}  // namespace halftone::cuda
