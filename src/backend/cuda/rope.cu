// CUDA: rotary position embedding (arXiv 2104.09864), a block a row: the angles once for all heads.
#include "backend/cuda/cuda_operations.h"
#include "backend/cuda/elements.cuh"

namespace halftone::cuda {
namespace {

constexpr int kThreads = 128;
constexpr int kMostPairs = 256;  // of a head

struct Heads {
  int count, dim, pairs;
  float magnitude;
};

// A thread reads what it writes: x and y may be the same.
template <class X, class Y, int kWidth>
__global__ void __launch_bounds__(kThreads)
    rotate_rows(Rows<const X> x, const int32_t* positions, const float* frequencies, Heads heads,
                Rows<Y> y) {
  __shared__ float cosines[kMostPairs], sines[kMostPairs];
  const int64_t row = blockIdx.x;
  const float position = static_cast<float>(positions[row]);
  for (int i = threadIdx.x; i < heads.pairs; i += kThreads) {
    float sine, cosine;
    sincosf(__fmul_rn(position, frequencies[i]), &sine, &cosine);
    sines[i] = sine * heads.magnitude;
    cosines[i] = cosine * heads.magnitude;
  }
  __syncthreads();
  const X* from = x.row(row);
  Y* to = y.row(row);
  const int rest = heads.dim - 2 * heads.pairs;
  const int parts = heads.pairs / kWidth;  // of a head, each of a thread
  for (int i = threadIdx.x; i < heads.count * parts; i += kThreads) {
    const int head = i / parts, pair = i % parts * kWidth;
    const int first = head * heads.dim + pair, second = first + heads.pairs;
    float a[kWidth], b[kWidth];
    load<kWidth>(from + first, a);
    load<kWidth>(from + second, b);
#pragma unroll
    for (int k = 0; k < kWidth; ++k) {
      const float cosine = cosines[pair + k], sine = sines[pair + k], old = a[k];
      a[k] = old * cosine - b[k] * sine;
      b[k] = b[k] * cosine + old * sine;
    }
    store<kWidth>(to + first, a);
    store<kWidth>(to + second, b);
  }
  for (int i = threadIdx.x; i < heads.count * rest; i += kThreads) {
    const int at = i / rest * heads.dim + 2 * heads.pairs + i % rest;
    to[at] = from_float<Y>(to_float(from[at]));
  }
}

}  // namespace

void rope(Context& context, ConstView x, const Rotation& rotation, View y) {
  const RopeSpec& spec = rotation.spec;
  const Heads heads{spec.heads, spec.head_dim, static_cast<int>(rotation.frequencies.cols),
                    spec.magnitude};
  assert(x.cols == int64_t{spec.heads} * spec.head_dim && y.cols == x.cols && y.rows == x.rows);
  assert(static_cast<int64_t>(rotation.positions.size()) == x.rows);
  assert(2 * heads.pairs <= spec.head_dim && heads.pairs <= kMostPairs);
  if (x.empty()) return;
  const bool eights =
      in_eights(x) && in_eights(y) && spec.head_dim % 8 == 0 && heads.pairs % 8 == 0;
  const Tensor positions = context.to_device(rotation.positions);
  with_activation_type(x.dtype, [&](auto in) {
    with_activation_type(y.dtype, [&](auto out) {
      using X = typename decltype(in)::Type;
      using Y = typename decltype(out)::Type;
      const auto launch = [&](auto kernel) {
        kernel<<<static_cast<unsigned>(x.rows), kThreads, 0, context.compute()>>>(
            rows_of<X>(x), data_of<int32_t>(positions),
            static_cast<const float*>(rotation.frequencies.data), heads, rows_of<Y>(y));
      };
      if (eights)
        launch(rotate_rows<X, Y, 8>);
      else
        launch(rotate_rows<X, Y, 1>);
    });
  });
  check_launch({"rope", {x.rows, spec.heads, spec.head_dim}});
}

}  // namespace halftone::cuda
