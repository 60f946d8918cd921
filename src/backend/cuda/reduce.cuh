// Sums over the threads of a warp or a block, always in the same order.
#pragma once

namespace halftone::cuda {

// The sum over groups of kThreads neighbouring threads, in all of them: a part of a warp, or the
// whole block.
template <int kThreads>
__device__ float group_sum(float value) {
#pragma unroll
  for (int distance = kThreads < 32 ? kThreads / 2 : 16; distance > 0; distance /= 2)
    value += __shfl_xor_sync(0xffffffffu, value, distance);
  if constexpr (kThreads > 32) {
    __shared__ float parts[kThreads / 32];
    __syncthreads();  // parts of the sum before have been read
    if (threadIdx.x % 32 == 0) parts[threadIdx.x / 32] = value;
    __syncthreads();
    value = 0;
#pragma unroll
    for (int i = 0; i < kThreads / 32; ++i) value += parts[i];
  }
  return value;
}

}  // namespace halftone::cuda
