#include "backend/cuda/dequantize.h"
#include "backend/cuda/elements.cuh"
#include "backend/cuda/round_to_grid.cuh"

namespace halftone::cuda {
namespace {

constexpr int kThreads = 256;

struct Values {
  const uint8_t* codes;
  const int32_t* group_of;
  GroupScales groups;
  Levels levels;
  bool to_bf16;
};

template <class T>
__global__ void dequantize_rows(const Values in, Rows<T> out, int64_t cols, int64_t count) {
  const int64_t step = int64_t{gridDim.x} * kThreads;
  for (int64_t i = int64_t{blockIdx.x} * kThreads + threadIdx.x; i < count; i += step) {
    const Position at = position_of(i, cols);
    const int64_t group = in.group_of[at.col];
    const float scale = in.groups.scale(at.row, group), zero = in.groups.zero(at.row, group);
    float value = value_of_code(in.levels, scale, zero, in.codes[i]);
    if (in.to_bf16) value = to_float(__float2bfloat16_rn(value));
    out.row(at.row)[at.col] = from_float<T>(value);
  }
}

}  // namespace

void dequantize(Context& context, const DeviceCodes& codes, View out, cudaStream_t stream) {
  if (out.empty()) return;
  const int64_t count = out.rows * out.cols;
  const Values values{codes.codes, codes.group_of, group_scales(codes.scales, codes.zeros),
                      levels_from(codes.table, codes.zeros.dtype == DType::f32),
                      codes.rounded_to == DType::bf16};
  with_float_type(out.dtype, [&](auto type) {
    using T = typename decltype(type)::Type;
    dequantize_rows<T><<<blocks_for(context, count, kThreads), kThreads, 0, stream>>>(
        values, rows_of<T>(out), out.cols, count);
  });
  check_launch({"dequantize", {out.rows, out.cols}});
}

}  // namespace halftone::cuda
