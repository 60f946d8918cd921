// The instructions that feed tensor cores, from compute capability 8.0 on (PTX ISA: ldmatrix, mma,
// cp.async).
#pragma once

#include <cuda_bf16.h>

#include <cstdint>

namespace halftone::cuda {

__device__ inline uint32_t shared_address(const void* pointer) {
  return static_cast<uint32_t>(__cvta_generic_to_shared(pointer));
}

// 16 bytes from device to shared memory in the background; zeros when not `inside`.
__device__ inline void copy_async(uint32_t to, const void* from, bool inside) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;\n" ::"r"(to), "l"(from),
               "r"(inside ? 16 : 0)
               : "memory");
}
__device__ inline void copy_async(void* to, const void* from, bool inside) {
  copy_async(shared_address(to), from, inside);
}
__device__ inline void end_async_group() { asm volatile("cp.async.commit_group;\n" ::: "memory"); }
__device__ inline void await_async() { asm volatile("cp.async.wait_all;\n" ::: "memory"); }

// Four 8 × 8 matrices of bf16, eight rows each at the addresses of eight lanes.
__device__ inline void load_matrices(uint32_t (&to)[4], const __nv_bfloat16* row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];\n"
               : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
               : "r"(shared_address(row)));
}
__device__ inline void load_matrices_transposed(uint32_t (&to)[4], const __nv_bfloat16* row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];\n"
               : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
               : "r"(shared_address(row)));
}

// c (16, 8) f32 += a (16, 16) · b (16, 8), both bf16.
__device__ inline void multiply_accumulate(float (&c)[4], const uint32_t (&a)[4], uint32_t b0,
                                           uint32_t b1) {
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, "
      "{%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};\n"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

// Two neighbours of a row as an operand of the above.
__device__ inline uint32_t pack(float low, float high) {
  uint32_t pair;  // volatile as exp2_fast()
  asm volatile("cvt.rn.bf16x2.f32 %0, %1, %2;\n" : "=r"(pair) : "f"(high), "f"(low));
  return pair;
}

__device__ inline float exp2_fast(float x) {
  float y;  // volatile: computed where it stands, while products are under way
  asm volatile("ex2.approx.ftz.f32 %0, %1;\n" : "=f"(y) : "f"(x));
  return y;
}

__device__ inline void store_pair(__nv_bfloat16* to, float low, float high) {
  *reinterpret_cast<__nv_bfloat162*>(to) = __floats2bfloat162_rn(low, high);
}
__device__ inline void store_pair(float* to, float low, float high) {
  *reinterpret_cast<float2*>(to) = {low, high};
}

}  // namespace halftone::cuda
