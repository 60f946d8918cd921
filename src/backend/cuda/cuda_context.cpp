#include "backend/cuda/cuda_context.h"

#include <algorithm>

namespace halftone::cuda {
namespace {

constexpr size_t kUploadSegment = size_t{8} << 20;
constexpr int kUploadSegments = 4;

// Makes the card current for this thread, and asks what it is.
CardProperties properties_of(int device, Instructions instructions) {
  check(cudaSetDevice(device), {"using card", {device}});
  CardProperties card{.device = device};
  const auto ask = [&](cudaDeviceAttr attribute) {
    int value = 0;
    check(cudaDeviceGetAttribute(&value, attribute, device), "asking for a card's properties");
    return value;
  };
  card.multiprocessors = ask(cudaDevAttrMultiProcessorCount);
  card.shared_memory = ask(cudaDevAttrMaxSharedMemoryPerBlockOptin);
  card.major = ask(cudaDevAttrComputeCapabilityMajor);
  card.minor = ask(cudaDevAttrComputeCapabilityMinor);
  card.bf16 = card.major >= 8 && instructions != Instructions::oldest;
  card.wgmma = card.major == 9 && instructions == Instructions::all;
  return card;
}

// Of the card's memory, beside what is allocated here: cuSOLVER's state, and kernels that are
// loaded when they are first called.
constexpr int64_t kReserve = int64_t{512} << 20;

cublasLtHandle_t start_blas() {
  cublasLtHandle_t handle = nullptr;
  const cublasStatus_t status = cublasLtCreate(&handle);
  check_library(status == CUBLAS_STATUS_SUCCESS, "cuBLASLt", status, "starting cuBLASLt");
  return handle;
}

}  // namespace

Context::Context(int device, Instructions instructions)
    : card_(properties_of(device, instructions)),
      allocator_(device, compute_),
      uploads_(kUploadSegment, kUploadSegments),
      blas_(start_blas()),
      matmul_(blas_),
      batched_(blas_) {
  size_t free = 0, total = 0;
  check(cudaMemGetInfo(&free, &total), "asking for the card's memory");
  allocator_.set_limit(std::max<int64_t>(0, static_cast<int64_t>(free) - kReserve));
}

Context::~Context() {
  if (solver_) cusolverDnDestroy(solver_);
  if (blas_) cublasLtDestroy(blas_);
}

void Context::multiply(const BatchedProduct& product, const BatchedOperands& operands) {
  batched_.run(product, operands, workspace(), compute_);
}

cusolverDnHandle_t Context::solver() {
  if (solver_) return solver_;
  cusolverStatus_t status = cusolverDnCreate(&solver_);
  if (status == CUSOLVER_STATUS_SUCCESS) status = cusolverDnSetStream(solver_, compute_);
  check_library(status == CUSOLVER_STATUS_SUCCESS, "cuSOLVER", status, "starting cuSOLVER");
  return solver_;
}

void* Context::workspace() {
  static_assert(LinearMatmul::kWorkspaceBytes <= BatchedMatmul::kWorkspaceBytes);
  if (workspace_.empty())
    workspace_ = temporary(1, int64_t{BatchedMatmul::kWorkspaceBytes}, DType::u8);
  return workspace_.view().data;
}

void Context::zero(View contiguous) {
  check(cudaMemsetAsync(contiguous.data, 0, static_cast<size_t>(contiguous.bytes()), compute_),
        {"zero", {contiguous.rows, contiguous.cols}});
}

void Context::upload_bytes(const void* from, size_t bytes, void* to) {
  for (size_t done = 0; done < bytes;) {
    const size_t piece = std::min(bytes - done, uploads_.segment_bytes());
    std::byte* pinned = uploads_.take(piece, compute_);
    std::memcpy(pinned, static_cast<const std::byte*>(from) + done, piece);
    check(cudaMemcpyAsync(static_cast<std::byte*>(to) + done, pinned, piece, cudaMemcpyHostToDevice,
                          compute_),
          {"uploading", {static_cast<int64_t>(bytes)}});
    done += piece;
  }
}

Tensor Context::bytes_to_device(const void* data, size_t bytes) {
  Tensor tensor = temporary(1, static_cast<int64_t>(std::max<size_t>(bytes, 1)), DType::u8);
  upload_bytes(data, bytes, tensor.view().data);
  return tensor;
}

}  // namespace halftone::cuda
