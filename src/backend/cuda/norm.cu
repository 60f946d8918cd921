// CUDA: root mean square norm (arXiv 1910.07467) and layer norm, alone or after an addition to the
// residual stream: a part of a warp, or a block, a row.
#include "backend/cuda/cuda_operations.h"
#include "backend/cuda/elements.cuh"
#include "backend/cuda/reduce.cuh"

namespace halftone::cuda {
namespace {

constexpr int kThreads = 256;
// Rows up to here are half a warp's (a head's 128 columns, eight at a time), then a warp's; longer
// ones are a block's.
constexpr int64_t kColsOfHalfAWarp = 128, kColsOfAWarp = 1024;

template <class In, class Out>
struct NormArguments {
  Rows<const In> x;
  float* residual;  // null: x is normed, else residual += x
  int64_t residual_ld;
  const float* gain;
  Rows<Out> y;
  int64_t rows, cols;
  float epsilon, gain_offset;
  bool layer, weighed;
};

// Calls body(column, values) for this thread's parts of a row of one or eight columns.
template <int kGroup, int kWidth, class Body>
__device__ void for_columns(int64_t cols, Body body) {
  for (int64_t col = (threadIdx.x % kGroup) * kWidth; col < cols; col += kGroup * kWidth) body(col);
}

// What is read twice comes from the cache; x and y may be the same because a thread reads only what
// it writes itself.
template <class In, class Out, int kGroup, int kWidth>
__global__ void __launch_bounds__(kThreads) norm_rows(NormArguments<In, Out> a) {
  const int64_t row = int64_t{blockIdx.x} * (kThreads / kGroup) + threadIdx.x / kGroup;
  // The halves of a warp sum together: neither may leave.
  const int64_t cols = row < a.rows ? a.cols : 0;
  const In* x = a.x.row(row);
  float* residual = a.residual ? a.residual + row * a.residual_ld : nullptr;
  const auto read = [&](int64_t col, float(&values)[kWidth]) {
    if (residual)
      load<kWidth>(residual + col, values);
    else
      load<kWidth>(x + col, values);
  };

  float sum = 0, squares = 0;
  for_columns<kGroup, kWidth>(cols, [&](int64_t col) {
    float values[kWidth];
    read(col, values);
    if (residual) {
      float added[kWidth];
      load<kWidth>(x + col, added);
      for (int i = 0; i < kWidth; ++i) values[i] += added[i];
      store<kWidth>(residual + col, values);
    }
    for (int i = 0; i < kWidth; ++i) {
      sum += values[i];
      squares += values[i] * values[i];
    }
  });
  const float count = static_cast<float>(a.cols);
  float mean = 0;
  if (a.layer) {
    mean = group_sum<kGroup>(sum) / count;
    squares = 0;
    for_columns<kGroup, kWidth>(cols, [&](int64_t col) {
      float values[kWidth];
      read(col, values);
      for (int i = 0; i < kWidth; ++i) squares += (values[i] - mean) * (values[i] - mean);
    });
  }
  float inverse = rsqrtf(group_sum<kGroup>(squares) / count + a.epsilon);
  if (a.weighed) inverse = sqrtf(inverse);
  Out* y = a.y.row(row);
  for_columns<kGroup, kWidth>(cols, [&](int64_t col) {
    float values[kWidth], gain[kWidth];
    read(col, values);
    load<kWidth>(a.gain + col, gain);
    for (int i = 0; i < kWidth; ++i)
      values[i] = (values[i] - mean) * inverse * (gain[i] + a.gain_offset);
    store<kWidth>(y + col, values);
  });
}

template <class In, class Out, int kGroup>
void launch(Context& context, const NormArguments<In, Out>& arguments, bool eights) {
  const int64_t per_block = kThreads / kGroup;
  const auto blocks = static_cast<unsigned>((arguments.rows + per_block - 1) / per_block);
  if (eights)
    norm_rows<In, Out, kGroup, 8><<<blocks, kThreads, 0, context.compute()>>>(arguments);
  else
    norm_rows<In, Out, kGroup, 1><<<blocks, kThreads, 0, context.compute()>>>(arguments);
}

struct NormCall {
  ConstView x;
  View residual;  // empty: none
  ConstView gain;
  View y;
};

void run(Context& context, const NormCall& call, const NormSpec& spec) {
  const ConstView& x = call.x;
  assert(call.gain.cols == x.cols && call.gain.dtype == DType::f32);
  if (x.empty()) return;
  const bool eights = in_eights(x) && in_eights(call.y) && in_eights(call.gain) &&
                      (!call.residual.data || in_eights(call.residual));
  with_activation_type(x.dtype, [&](auto in) {
    with_activation_type(call.y.dtype, [&](auto out) {
      using In = typename decltype(in)::Type;
      using Out = typename decltype(out)::Type;
      const NormArguments<In, Out> arguments = {.x = rows_of<In>(x),
                                                .residual = static_cast<float*>(call.residual.data),
                                                .residual_ld = call.residual.ld,
                                                .gain = static_cast<const float*>(call.gain.data),
                                                .y = rows_of<Out>(call.y),
                                                .rows = x.rows,
                                                .cols = x.cols,
                                                .epsilon = spec.epsilon,
                                                .gain_offset = spec.gain_offset,
                                                .layer = spec.kind == NormKind::layer,
                                                .weighed = spec.weighed};
      if (x.cols <= kColsOfHalfAWarp)
        launch<In, Out, 16>(context, arguments, eights);
      else if (x.cols <= kColsOfAWarp)
        launch<In, Out, 32>(context, arguments, eights);
      else
        launch<In, Out, kThreads>(context, arguments, eights);
    });
  });
  check_launch({"norm", {x.rows, x.cols}});
}

}  // namespace

void norm(Context& context, ConstView x, ConstView gain, const NormSpec& spec, View y) {
  run(context, {x, {}, gain, y}, spec);
}

void add_norm(Context& context, const Addition& addition, ConstView gain, const NormSpec& spec,
              View y) {
  run(context, {addition.x, addition.residual, gain, y}, spec);
}

}  // namespace halftone::cuda
