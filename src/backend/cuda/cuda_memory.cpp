#include "backend/cuda/cuda_memory.h"

#include <sys/mman.h>

#include <cassert>
#include <limits>

#include "backend/cuda/cuda_check.h"
#include "base/error.h"

namespace halftone::cuda {
namespace {

constexpr size_t kLarge = size_t{64} << 20;  // what the pool grows by

// Blocks that are too small for what comes stay with the pool: where that takes more of the card
// than the budget allows, they go back.
void keep_within(cudaMemPool_t pool, int64_t limit) {
  uint64_t reserved = 0;
  check(cudaMemPoolGetAttribute(pool, cudaMemPoolAttrReservedMemCurrent, &reserved),
        "a memory pool");
  if (reserved <= static_cast<uint64_t>(limit)) return;
  check(cudaDeviceSynchronize(), "waiting for memory");
  cudaMemPoolTrimTo(pool, static_cast<size_t>(limit));
}

}  // namespace

Stream::Stream() { check(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), "a stream"); }
Stream::~Stream() {
  if (stream_) cudaStreamDestroy(stream_);
}

CudaEvent::CudaEvent() {
  check(cudaEventCreateWithFlags(&event_, cudaEventDisableTiming), "an event");
}
CudaEvent::~CudaEvent() {
  if (event_) cudaEventDestroy(event_);
}
void CudaEvent::record(cudaStream_t stream) { check(cudaEventRecord(event_, stream), "an event"); }
void CudaEvent::block(cudaStream_t stream) const {
  check(cudaStreamWaitEvent(stream, event_, 0), "waiting for an event");
}
void CudaEvent::wait() const { check(cudaEventSynchronize(event_), "waiting for an event"); }

CudaAllocator::CudaAllocator(int device, const Stream& compute)
    : name_(fmt::format("cuda:{}", device)), compute_(compute) {
  cudaMemPoolProps properties = {};
  properties.allocType = cudaMemAllocationTypePinned;
  properties.location = {cudaMemLocationTypeDevice, device};
  check(cudaMemPoolCreate(&pool_, &properties), "a memory pool");
  // What was released stays with us until the process ends or the card is full.
  uint64_t threshold = std::numeric_limits<uint64_t>::max();
  check(cudaMemPoolSetAttribute(pool_, cudaMemPoolAttrReleaseThreshold, &threshold),
        "a memory pool");
}

CudaAllocator::~CudaAllocator() {
  cudaDeviceSynchronize();
  if (pool_) cudaMemPoolDestroy(pool_);
}

class CudaAllocator::OtherOrder {
 public:
  OtherOrder(CudaAllocator& allocator, cudaStream_t stream)
      : lock_(allocator.others_), allocator_(allocator) {
    allocator_.other_ = stream;
    allocator_.other_thread_ = std::this_thread::get_id();
  }
  ~OtherOrder() { allocator_.other_thread_ = std::thread::id(); }

 private:
  std::lock_guard<std::mutex> lock_;
  CudaAllocator& allocator_;
};

void* CudaAllocator::allocate_on(cudaStream_t stream, size_t bytes) {
  const OtherOrder order(*this, stream);
  return allocate(bytes);
}

void CudaAllocator::release_on(cudaStream_t stream, void* data, size_t bytes) noexcept {
  const OtherOrder order(*this, stream);
  release(data, bytes);
}

void* CudaAllocator::take(size_t bytes) {
  const cudaStream_t stream = order();
  void* data = nullptr;
  if (bytes == 0) bytes = 1;
  cudaError_t status = cudaMallocFromPoolAsync(&data, bytes, pool_, stream);
  if (status == cudaErrorMemoryAllocation) {
    // What is released but still queued, or held in pieces that are too small, goes back first.
    cudaGetLastError();
    check(cudaDeviceSynchronize(), "waiting for memory");
    cudaMemPoolTrimTo(pool_, 0);
    status = cudaMallocFromPoolAsync(&data, bytes, pool_, stream);
  }
  if (status == cudaErrorMemoryAllocation) {
    cudaGetLastError();
    size_t free = 0, total = 0;
    cudaMemGetInfo(&free, &total);
    throw out_of_resources(
        "{}: {:.2f} GB asked for with {:.2f} GB in use: the card has {:.2f} GB "
        "left of {:.2f} GB",
        name_, static_cast<double>(bytes) / 1e9, static_cast<double>(in_use()) / 1e9,
        static_cast<double>(free) / 1e9, static_cast<double>(total) / 1e9)
        .hint(fmt::format("--max-memory device={:.0f}M fits what is free now.",
                          static_cast<double>(free + static_cast<size_t>(in_use())) * 0.9e-6));
  }
  check(status, {"allocating", {static_cast<int64_t>(bytes)}});
  if (bytes >= kLarge) keep_within(pool_, limit());
  return data;
}

void CudaAllocator::give_back(void* data, size_t) noexcept { cudaFreeAsync(data, order()); }

// Large pages that all threads touch are pinned far sooner than what the driver would allocate.
void* PinnedAllocator::take(size_t bytes) {
  constexpr int64_t kPiece = int64_t{32} << 20;
  void* data = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (data == MAP_FAILED) return nullptr;
  ::madvise(data, bytes, MADV_HUGEPAGE);
  threads_.parallel_for(static_cast<int64_t>(bytes), kPiece, [&](int64_t begin, int64_t end) {
    constexpr int64_t kPage = 4096;
    for (int64_t at = begin; at < end; at += kPage) static_cast<volatile char*>(data)[at] = 0;
  });
  if (cudaHostRegister(data, bytes, cudaHostRegisterDefault) == cudaSuccess) return data;
  cudaGetLastError();
  ::munmap(data, bytes);
  return nullptr;
}

void PinnedAllocator::give_back(void* data, size_t bytes) noexcept {
  cudaHostUnregister(data);
  ::munmap(data, bytes);
}

PinnedRing::PinnedRing(size_t segment_bytes, int segments)
    : segment_bytes_(segment_bytes), segments_(static_cast<size_t>(segments)) {
  check(cudaMallocHost(reinterpret_cast<void**>(&data_), segment_bytes_ * segments_.size()),
        {"pinned host memory", {static_cast<int64_t>(segment_bytes_ * segments_.size())}});
}
PinnedRing::~PinnedRing() {
  if (data_) cudaFreeHost(data_);
}

std::byte* PinnedRing::take(size_t bytes, cudaStream_t stream) {
  constexpr size_t kAlignment = 256;
  assert(bytes <= segment_bytes_);
  if (used_ + bytes > segment_bytes_) {
    segments_[current_].done.record(stream);
    segments_[current_].in_flight = true;
    current_ = (current_ + 1) % segments_.size();
    used_ = 0;
    if (segments_[current_].in_flight) segments_[current_].done.wait();
    segments_[current_].in_flight = false;
  }
  std::byte* piece = data_ + current_ * segment_bytes_ + used_;
  used_ += (bytes + kAlignment - 1) / kAlignment * kAlignment;
  return piece;
}

}  // namespace halftone::cuda
