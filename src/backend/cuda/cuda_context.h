// What the operations of one card share: its streams, memory, libraries' handles and properties.
//
// Operations queue on compute(). Temporary matrices come from the allocator and die in the order of
// that stream: a Tensor may go out of scope as soon as the kernel that uses it is launched.
#pragma once

#include <cublasLt.h>
#include <cusolverDn.h>

#include <cstring>
#include <memory>
#include <span>
#include <type_traits>

#include "backend/backend.h"
#include "backend/cuda/batched_matmul.h"
#include "backend/cuda/cuda_check.h"
#include "backend/cuda/cuda_memory.h"
#include "backend/cuda/linear_matmul.h"

namespace halftone::cuda {

struct CardProperties {
  int device = 0;
  int multiprocessors = 0;
  int shared_memory = 0;  // bytes that a block can have
  int major = 0, minor = 0;
  bool bf16 = false;   // multiplies bf16 on tensor cores (sm_80 and later), and may
  bool wgmma = false;  // Hopper's warpgroup products, and may
};

class Context {
 public:
  Context(int device, Instructions instructions);
  ~Context();
  Context(const Context&) = delete;
  Context& operator=(const Context&) = delete;

  const CardProperties& card() const { return card_; }
  cudaStream_t compute() const { return compute_; }
  cudaStream_t copy() const { return copy_; }
  // For downloads that another thread makes beside the computing one.
  cudaStream_t beside() const { return beside_; }
  // Of matrices between device and pinned memory, in each direction.
  cudaStream_t arrivals() const { return arrivals_; }
  cudaStream_t departures() const { return departures_; }
  cudaStream_t stream(Queue queue) const { return queue == Queue::copy ? copy() : compute(); }
  // For the thread that calls.
  void make_current() const { check(cudaSetDevice(card_.device), {"using card", {card_.device}}); }
  CudaAllocator& allocator() { return allocator_; }
  cublasLtHandle_t blas() const { return blas_; }
  // The quantizer's products, on the compute stream.
  void multiply(const BatchedProduct& product, const BatchedOperands& operands);
  // On the compute stream; started when first asked for.
  cusolverDnHandle_t solver();
  LinearMatmul& matmul() { return matmul_; }
  // What products on the compute stream share.
  void* workspace();
  // Zeros, whatever the type.
  void zero(View contiguous);

  // A matrix on the device for an operation's own use; not initialized.
  Tensor temporary(int64_t rows, int64_t cols, DType dtype) {
    return Tensor(allocator_, rows, cols, dtype, Place::device);
  }
  // The bytes of a span of the host, on the device when the compute stream comes there; the span
  // may die on return. The tensor is (1, bytes) u8: see data_of().
  template <class T>
  Tensor to_device(std::span<T> values) {
    static_assert(std::is_trivially_copyable_v<T>);
    return bytes_to_device(values.data(), values.size_bytes());
  }
  // Host memory of `bytes` to device memory on the compute stream.
  void upload_bytes(const void* from, size_t bytes, void* to);

 private:
  Tensor bytes_to_device(const void* data, size_t bytes);

  CardProperties card_;
  Stream compute_, copy_, beside_, arrivals_, departures_;
  CudaAllocator allocator_;
  PinnedRing uploads_;  // for the compute stream
  cublasLtHandle_t blas_ = nullptr;
  cusolverDnHandle_t solver_ = nullptr;
  LinearMatmul matmul_;
  BatchedMatmul batched_;
  Tensor workspace_;
};

template <class T>
const T* data_of(const Tensor& tensor) {
  return static_cast<const T*>(tensor.view().data);
}

}  // namespace halftone::cuda
