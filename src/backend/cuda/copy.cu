// CUDA: copies within the device, with conversion, and fills.
#include <cuda_bf16.h>

#include "backend/cuda/cuda_operations.h"
#include "backend/cuda/elements.cuh"

namespace halftone::cuda {
namespace {

constexpr int kThreads = 256;

template <class To, class From>
__device__ To converted(From value) {
  if constexpr (std::is_same_v<To, From>) {
    return value;
  } else if constexpr (std::is_same_v<From, double>) {
    if constexpr (std::is_same_v<To, __nv_bfloat16>)
      return __double2bfloat16(value);
    else if constexpr (std::is_same_v<To, __half>)
      return __double2half(value);
    else
      return static_cast<To>(value);
  } else if constexpr (std::is_same_v<To, double>) {
    return static_cast<double>(to_float(value));
  } else {
    return from_float<To>(to_float(value));
  }
}

template <class From, class To>
__global__ void copy_elements(Rows<const From> from, Rows<To> to, int64_t cols, int64_t count) {
  const int64_t step = int64_t{gridDim.x} * kThreads;
  for (int64_t i = int64_t{blockIdx.x} * kThreads + threadIdx.x; i < count; i += step) {
    const Position at = position_of(i, cols);
    to.row(at.row)[at.col] = converted<To>(from.row(at.row)[at.col]);
  }
}

template <class From, class To>
__global__ void copy_eights(Rows<const From> from, Rows<To> to, int64_t cols, int64_t count) {
  const int64_t step = int64_t{gridDim.x} * kThreads;
  for (int64_t i = int64_t{blockIdx.x} * kThreads + threadIdx.x; i < count; i += step) {
    const Position at = position_of(i, cols / 8);
    float values[8];
    load8(from.row(at.row) + at.col * 8, values);
    store8(to.row(at.row) + at.col * 8, values);
  }
}

template <class T>
__global__ void fill_elements(Rows<T> x, int64_t cols, int64_t count, T value) {
  const int64_t step = int64_t{gridDim.x} * kThreads;
  for (int64_t i = int64_t{blockIdx.x} * kThreads + threadIdx.x; i < count; i += step) {
    const Position at = position_of(i, cols);
    x.row(at.row)[at.col] = value;
  }
}

bool is_float(DType dtype) {
  return dtype == DType::f32 || dtype == DType::bf16 || dtype == DType::f16;
}

template <class Body>
void with_type(DType dtype, Body body) {
  if (dtype == DType::f64) return body(TypeTag<double>());
  with_float_type(dtype, body);
}

// The same type, moved by its size.
template <class Body>
void with_type_of_size(size_t size, Body body) {
  if (size == 1) return body(TypeTag<uint8_t>());
  if (size == 2) return body(TypeTag<uint16_t>());
  if (size == 4) return body(TypeTag<uint32_t>());
  return body(TypeTag<uint64_t>());
}

struct Launch {
  Context& context;
  ConstView from;
  View to;
  cudaStream_t stream;

  template <class From, class To>
  void elements() const {
    const int64_t count = from.rows * from.cols;
    copy_elements<From, To><<<blocks_for(context, count, kThreads), kThreads, 0, stream>>>(
        rows_of<From>(from), rows_of<To>(to), from.cols, count);
  }
  template <class From, class To>
  void eights() const {
    const int64_t count = from.rows * (from.cols / 8);
    copy_eights<From, To><<<blocks_for(context, count, kThreads), kThreads, 0, stream>>>(
        rows_of<From>(from), rows_of<To>(to), from.cols, count);
  }
};

}  // namespace

void copy(Context& context, ConstView from, View to, cudaStream_t stream) {
  assert(from.rows == to.rows && from.cols == to.cols);
  if (from.empty()) return;
  const Operation operation{"copy", {from.rows, from.cols}};
  if (from.dtype == to.dtype && from.contiguous() && to.contiguous()) {
    check(cudaMemcpyAsync(to.data, from.data, static_cast<size_t>(from.bytes()),
                          cudaMemcpyDeviceToDevice, stream),
          operation);
    return;
  }
  const Launch launch{context, from, to, stream};
  if (is_float(from.dtype) && is_float(to.dtype) && in_eights(from) && in_eights(to)) {
    with_float_type(from.dtype, [&](auto source) {
      with_float_type(to.dtype, [&](auto target) {
        launch.eights<typename decltype(source)::Type, typename decltype(target)::Type>();
      });
    });
  } else if (from.dtype == to.dtype) {
    with_type_of_size(size_of(from.dtype), [&](auto type) {
      launch.elements<typename decltype(type)::Type, typename decltype(type)::Type>();
    });
  } else {
    with_type(from.dtype, [&](auto source) {
      with_type(to.dtype, [&](auto target) {
        launch.elements<typename decltype(source)::Type, typename decltype(target)::Type>();
      });
    });
  }
  check_launch(operation);
}

void fill(Context& context, View x, float value) {
  if (x.empty()) return;
  const int64_t count = x.rows * x.cols;
  const auto launch = [&]<class T>(T element) {
    fill_elements<T><<<blocks_for(context, count, kThreads), kThreads, 0, context.compute()>>>(
        rows_of<T>(x), x.cols, count, element);
  };
  switch (x.dtype) {
    case DType::f32:
      launch(value);
      break;
    case DType::bf16:
      launch(__float2bfloat16_rn(value));
      break;
    case DType::f16:
      launch(__float2half_rn(value));
      break;
    case DType::f64:
      launch(static_cast<double>(value));
      break;
    case DType::i32:
      launch(static_cast<int32_t>(value));
      break;
    case DType::u8:
      launch(static_cast<uint8_t>(value));
      break;
    default:
      assert(false && "a type that backends compute with");
  }
  check_launch({"fill", {x.rows, x.cols}});
}

}  // namespace halftone::cuda
