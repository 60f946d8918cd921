// CUDA: what works on each element by itself.
#include "backend/cuda/cuda_operations.h"
#include "backend/cuda/elements.cuh"

namespace halftone::cuda {
namespace {

constexpr int kThreads = 256;

struct Silu {
  __device__ float operator()(float gate, float up) const {
    return __fdividef(gate, 1 + expf(-gate)) * up;
  }
};
struct Gelu {
  __device__ float operator()(float gate, float up) const {
    return 0.5f * gate * (1 + erff(gate * 0.70710678118654752f)) * up;
  }
};
struct GeluTanh {  // Hendrycks and Gimpel, arXiv 1606.08415
  __device__ float operator()(float gate, float up) const {
    const float inner = 0.79788456080286536f * (gate + 0.044715f * gate * gate * gate);
    return 0.5f * gate * (1 + tanhf(inner)) * up;
  }
};
struct Sum {
  __device__ float operator()(float a, float b) const { return a + b; }
};
struct Softcap {
  float cap;
  __device__ float operator()(float x, float) const { return cap * tanhf(x / cap); }
};

template <class A, class B, class Y>
struct Operands {
  Rows<const A> a;
  Rows<const B> b;
  Rows<Y> y;
  int64_t cols, count;  // of columns; of elements, or of eights
};

// y := combine(a, b), one element or eight at a time; y may be a or b.
template <class A, class B, class Y, class Combine, bool kEights>
__global__ void combine_elements(Operands<A, B, Y> o, Combine combine) {
  const int64_t step = int64_t{gridDim.x} * kThreads;
  for (int64_t i = int64_t{blockIdx.x} * kThreads + threadIdx.x; i < o.count; i += step) {
    if constexpr (kEights) {
      const Position at = position_of(i, o.cols / 8);
      float a[8], b[8];
      load8(o.a.row(at.row) + at.col * 8, a);
      load8(o.b.row(at.row) + at.col * 8, b);
#pragma unroll
      for (int k = 0; k < 8; ++k) a[k] = combine(a[k], b[k]);
      store8(o.y.row(at.row) + at.col * 8, a);
    } else {
      const Position at = position_of(i, o.cols);
      const float a = to_float(o.a.row(at.row)[at.col]), b = to_float(o.b.row(at.row)[at.col]);
      o.y.row(at.row)[at.col] = from_float<Y>(combine(a, b));
    }
  }
}

struct Views {
  ConstView a, b;
  View y;
};

template <class A, class B, class Y, class Combine>
void launch(Context& context, const Views& views, Combine combine) {
  const bool eights = in_eights(views.a) && in_eights(views.b) && in_eights(views.y);
  const int64_t count = views.y.rows * (eights ? views.y.cols / 8 : views.y.cols);
  const Operands<A, B, Y> operands = {rows_of<A>(views.a), rows_of<B>(views.b), rows_of<Y>(views.y),
                                      views.y.cols, count};
  const unsigned blocks = blocks_for(context, count, kThreads);
  if (eights)
    combine_elements<A, B, Y, Combine, true>
        <<<blocks, kThreads, 0, context.compute()>>>(operands, combine);
  else
    combine_elements<A, B, Y, Combine, false>
        <<<blocks, kThreads, 0, context.compute()>>>(operands, combine);
}

template <class Combine>
void run(Context& context, const Views& views, Combine combine, const char* name) {
  const View& y = views.y;
  assert(views.a.rows == y.rows && views.a.cols == y.cols);
  assert(views.b.rows == y.rows && views.b.cols == y.cols);
  if (y.empty()) return;
  with_activation_type(views.a.dtype, [&](auto a) {
    with_activation_type(views.b.dtype, [&](auto b) {
      with_activation_type(y.dtype, [&](auto result) {
        launch<typename decltype(a)::Type, typename decltype(b)::Type,
               typename decltype(result)::Type>(context, views, combine);
      });
    });
  });
  check_launch({name, {y.rows, y.cols}});
}

}  // namespace

void gated_activation(Context& context, ConstView gate, ConstView up, Activation act, View y) {
  const Views views{gate, up, y};
  switch (act) {
    case Activation::silu:
      return run(context, views, Silu{}, "gated_activation");
    case Activation::gelu:
      return run(context, views, Gelu{}, "gated_activation");
    case Activation::gelu_tanh:
      return run(context, views, GeluTanh{}, "gated_activation");
  }
}

void add(Context& context, ConstView a, ConstView b, View y) {
  run(context, {a, b, y}, Sum{}, "add");
}

void softcap(Context& context, View x, float cap) {
  if (x.empty()) return;
  with_activation_type(x.dtype, [&](auto type) {
    using T = typename decltype(type)::Type;
    launch<T, T, T>(context, {x, x, x}, Softcap{cap});
  });
  check_launch({"softcap", {x.rows, x.cols}});
}

}  // namespace halftone::cuda
