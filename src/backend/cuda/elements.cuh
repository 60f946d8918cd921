// Elements of f32, bf16 and f16 matrices in kernels: one, or eight in 16-byte accesses; and the way
// from a view's dtype to a kernel's template argument.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <cassert>
#include <cstdint>

#include "backend/cuda/cuda_context.h"

namespace halftone::cuda {

__device__ inline float to_float(float value) { return value; }
__device__ inline float to_float(__nv_bfloat16 value) { return __bfloat162float(value); }
__device__ inline float to_float(__half value) { return __half2float(value); }

// Rounds to nearest, ties to even.
template <class T>
__device__ T from_float(float value) {
  if constexpr (std::is_same_v<T, __nv_bfloat16>)
    return __float2bfloat16_rn(value);
  else if constexpr (std::is_same_v<T, __half>)
    return __float2half_rn(value);
  else
    return value;
}

// Eight elements at a 16-byte boundary.
template <class T>
__device__ void load8(const T* from, float (&values)[8]) {
  if constexpr (sizeof(T) == 4) {
    const float4 low = reinterpret_cast<const float4*>(from)[0];
    const float4 high = reinterpret_cast<const float4*>(from)[1];
    values[0] = low.x, values[1] = low.y, values[2] = low.z, values[3] = low.w;
    values[4] = high.x, values[5] = high.y, values[6] = high.z, values[7] = high.w;
  } else {
    const uint4 raw = *reinterpret_cast<const uint4*>(from);
    const T* elements = reinterpret_cast<const T*>(&raw);
#pragma unroll
    for (int i = 0; i < 8; ++i) values[i] = to_float(elements[i]);
  }
}

template <class T>
__device__ void store8(T* to, const float (&values)[8]) {
  if constexpr (sizeof(T) == 4) {
    reinterpret_cast<float4*>(to)[0] = {values[0], values[1], values[2], values[3]};
    reinterpret_cast<float4*>(to)[1] = {values[4], values[5], values[6], values[7]};
  } else {
    uint4 raw;
    T* elements = reinterpret_cast<T*>(&raw);
#pragma unroll
    for (int i = 0; i < 8; ++i) elements[i] = from_float<T>(values[i]);
    *reinterpret_cast<uint4*>(to) = raw;
  }
}

// Eight elements or one, as a kernel's template argument says.
template <int kWidth, class T>
__device__ void load(const T* from, float (&values)[kWidth]) {
  if constexpr (kWidth == 8)
    load8(from, values);
  else
    values[0] = to_float(*from);
}

template <int kWidth, class T>
__device__ void store(T* to, const float (&values)[kWidth]) {
  if constexpr (kWidth == 8)
    store8(to, values);
  else
    *to = from_float<T>(values[0]);
}

// A matrix as kernels take it.
template <class T>
struct Rows {
  T* data;
  int64_t ld;
  __device__ T* row(int64_t index) const { return data + index * ld; }
};
template <class T>
Rows<T> rows_of(View view) {
  return {static_cast<T*>(view.data), view.ld};
}
template <class T>
Rows<const T> rows_of(ConstView view) {
  return {static_cast<const T*>(view.data), view.ld};
}

// Whether load8 and store8 serve every row.
inline bool in_eights(ConstView view) {
  const int64_t size = static_cast<int64_t>(size_of(view.dtype));
  return reinterpret_cast<uintptr_t>(view.data) % 16 == 0 && view.ld * size % 16 == 0 &&
         view.cols % 8 == 0;
}

template <class T>
struct TypeTag {
  using Type = T;
};
// Calls body(TypeTag<T>) with the element type of an f32, bf16 or f16 matrix.
template <class Body>
void with_float_type(DType dtype, Body body) {
  switch (dtype) {
    case DType::f32:
      return body(TypeTag<float>());
    case DType::bf16:
      return body(TypeTag<__nv_bfloat16>());
    case DType::f16:
      return body(TypeTag<__half>());
    default:
      assert(false && "f32, bf16 or f16");
  }
}
// The same where activations are f32 or bf16: half of the kernels.
template <class Body>
void with_activation_type(DType dtype, Body body) {
  assert(dtype == DType::f32 || dtype == DType::bf16);
  if (dtype == DType::f32) return body(TypeTag<float>());
  return body(TypeTag<__nv_bfloat16>());
}

// Where element `index` of a matrix of `cols` columns lies.
struct Position {
  int64_t row, col;
};
__device__ inline Position position_of(int64_t index, int64_t cols) {
  if (index < (int64_t{1} << 32) && cols < (int64_t{1} << 32)) {  // a quarter of the instructions
    const uint32_t row = static_cast<uint32_t>(index) / static_cast<uint32_t>(cols);
    return {row, static_cast<int64_t>(static_cast<uint32_t>(index) - row * cols)};
  }
  return {index / cols, index % cols};
}

// Blocks of `threads` for `items`, as many as keep the card busy; kernels stride over the rest.
inline unsigned blocks_for(const Context& context, int64_t items, int threads) {
  const int64_t wanted = (items + threads - 1) / threads;
  const int64_t most = int64_t{context.card().multiprocessors} * 16;
  return static_cast<unsigned>(wanted < most ? (wanted < 1 ? 1 : wanted) : most);
}

}  // namespace halftone::cuda
